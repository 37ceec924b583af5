"""``apply_chat_template``: a conversation becomes the text, or the ids, that a model was taught.

Source: transformers 4.57.6 ``PreTrainedTokenizerBase.apply_chat_template`` and
``utils/chat_template_utils.py``.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hubloader import notices
from hubloader.tokenizers.calling import Calling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hubloader.tokenizers.batch import BatchEncoding
    from hubloader.tokenizers.chat_render import RenderedChat

__all__ = ["Chat"]

_CONTINUED = "CONTINUE_FINAL_MESSAGE_TAG "


class Chat(Calling):
    """Conversations in, text or ids out."""

    def apply_chat_template(  # noqa: PLR0913, PLR0917 - transformers' signature
        self,
        conversation: Any,
        tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = True,
        padding: bool | str = False,
        truncation: bool = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
        return_dict: bool = False,
        return_assistant_tokens_mask: bool = False,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Write a conversation as the model was taught to read it.

        Args:
            conversation: messages, mappings with ``role`` and ``content``; or several of these.
            tools: JSON schemas, or functions with type hints and a docstring that describes each
                argument under ``Args:``.
            documents: mappings that the model may look things up in.
            chat_template: a template, or the name of one of the tokenizer's; None for its own,
                ``tool_use`` where there are tools and such a template, else ``default``.
            add_generation_prompt: whether the model's answer is begun.
            continue_final_message: whether the last message is left open, for the model to go on.
            tokenize: False gives text.
            padding: as in a call; takes effect on ids.
            truncation: as in a call.
            max_length: as in a call.
            return_tensors: as in a call.
            return_dict: whether all columns of a call are given, not ids alone.
            return_assistant_tokens_mask: whether ``assistant_masks`` is given as well: 1 for what
                stands inside the template's ``{% generation %}``.
            tokenizer_kwargs: more arguments of the call.
            **kwargs: what else the template may use.

        Raises:
            CorruptFile: the template is not Jinja.
            UnsafeFile: it wants what no template may have, or too much time, memory or output.
            ValueError: there is none; it refuses the conversation; arguments do not go together.

        """
        if return_dict and not tokenize:
            raise ValueError(
                "`return_dict=True` is incompatible with `tokenize=False`, because there is no "
                "dict of tokenizer outputs to return."
            )
        if return_assistant_tokens_mask and not return_dict:
            raise ValueError(
                "`return_assistant_tokens_mask=True` is incompatible with `return_dict=False`"
            )
        if continue_final_message:
            _check_continuing(add_generation_prompt, return_assistant_tokens_mask)
        if "messages" in kwargs:
            raise TypeError("`messages` is what a template calls `conversation`: pass it as that")
        template = self.get_chat_template(chat_template, tools)
        if return_assistant_tokens_mask and "generation" not in template:
            notices.warn("the chat template has no `{% generation %}`: masks are 0")
        conversations, batched = _conversations(conversation)
        values = {**self.special_tokens_map, **_shared(tools, documents), **kwargs}
        values["add_generation_prompt"] = add_generation_prompt
        rendered = _render(template, conversations, values, continued=continue_final_message)
        texts = [chat.text for chat in rendered]
        if not tokenize:
            return texts if batched else texts[0]
        encoded = self(
            texts if batched else texts[0],
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            add_special_tokens=False,
            return_tensors=return_tensors,
            **(tokenizer_kwargs or {}),
        )
        if not return_dict:
            return encoded["input_ids"]
        if return_assistant_tokens_mask:
            rows = batched or bool(return_tensors)
            masks = _assistant_masks(encoded, rendered, rows=rows)
            encoded["assistant_masks"] = masks if rows else masks[0]
            if return_tensors:
                encoded.convert_to_tensors(tensor_type=return_tensors)
        return encoded

    def get_chat_template(
        self, chat_template: str | None = None, tools: Sequence[Any] | None = None
    ) -> str:
        """Choose the template that ``apply_chat_template`` would use.

        Args:
            chat_template: a template, or the name of one of the tokenizer's.
            tools: whether there are any decides between several.

        Raises:
            ValueError: there is none, or several and no default.

        """
        own = self.chat_template
        if isinstance(own, dict):
            if chat_template is not None:
                return str(own.get(chat_template, chat_template))
            name = "tool_use" if tools is not None and "tool_use" in own else "default"
            if name not in own:
                raise ValueError(
                    "This model has multiple chat templates with no default specified! Please "
                    "either pass a chat template or the name of the template you wish to use to "
                    f"the `chat_template` argument. Available template names are {sorted(own)}."
                )
            return str(own[name])
        found = own if chat_template is None else chat_template
        if found is None:
            raise ValueError(
                "Cannot use chat template functions because tokenizer.chat_template is not set and "
                "no template argument was passed! Give chat_template=..., or set "
                "tokenizer.chat_template"
            )
        return str(found)

    def encode_message_with_chat_template(
        self,
        message: Mapping[str, Any],
        conversation_history: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> list[int]:
        """Give the ids that one more message adds to a conversation.

        Args:
            message: the message.
            conversation_history: the messages before it.
            **kwargs: as for ``apply_chat_template``; no ``add_generation_prompt``.

        """
        if "add_generation_prompt" in kwargs:
            raise ValueError(
                "`encode_message_with_chat_template` does not support `add_generation_prompt`. "
                "Please add the generation prompt separately."
            )
        before = list(conversation_history or ())
        ids: list[int] = self.apply_chat_template([*before, message], **kwargs)
        if not before:
            return ids
        old: list[int] = self.apply_chat_template(before, **kwargs)
        pairs = zip(old, ids, strict=False)
        shorter = min(len(old), len(ids))
        same = next((place for place, (a, b) in enumerate(pairs) if a != b), shorter)
        return ids[same:]


def _check_continuing(add_generation_prompt: bool, masks: bool) -> None:
    if add_generation_prompt:
        raise ValueError(
            "continue_final_message and add_generation_prompt are not compatible. Use "
            "continue_final_message when you want the model to continue the final message, and "
            "add_generation_prompt when you want to add a header that will prompt it to start a "
            "new assistant message instead."
        )
    if masks:
        raise ValueError(
            "continue_final_message is not compatible with return_assistant_tokens_mask."
        )


def _conversations(given: Any) -> tuple[list[Any], bool]:
    """Give conversations as lists of messages, and whether several were given."""
    several = isinstance(given, (list, tuple)) and bool(given)
    several = several and (isinstance(given[0], (list, tuple)) or hasattr(given[0], "messages"))
    chats = list(given) if several else [given]
    return [chat.messages if hasattr(chat, "messages") else chat for chat in chats], several


def _shared(
    tools: Sequence[Any] | None, documents: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any]:
    from hubloader.tokenizers.chat_tools import tool_schema

    for document in documents or ():
        if not hasattr(document, "keys"):
            raise TypeError("Documents should be a list of dicts with 'title' and 'text' keys!")
    return {
        "tools": None if tools is None else [tool_schema(tool) for tool in tools],
        "documents": documents,
    }


def _render(
    template: str, conversations: list[Any], values: Mapping[str, Any], *, continued: bool
) -> list[RenderedChat]:
    from hubloader.tokenizers.chat_render import render_chats

    finals = [""] * len(conversations)
    if continued:
        opened = [_opened(chat) for chat in conversations]
        conversations = [chat for chat, _ in opened]
        finals = [final for _, final in opened]
    rendered = render_chats(template, [{"messages": chat} for chat in conversations], values)
    if continued:
        pairs = zip(rendered, finals, strict=True)
        return [chat._replace(text=_cut(chat.text, final)) for chat, final in pairs]
    return rendered


def _opened(chat: Any) -> tuple[Any, str]:
    """Mark the end of the last message, in a copy; gives the message's text too."""
    marked = copy.deepcopy(chat)
    content = marked[-1].get("content")
    if content is None:
        raise ValueError(
            "continue_final_message is set but the final message has no content to continue!"
        )
    if not isinstance(content, (list, tuple)):
        marked[-1]["content"] = content + _CONTINUED
        return marked, content
    block = next((block for block in reversed(content) if "text" in block), None)
    if block is None:
        raise ValueError(
            "continue_final_message is set but we could not find any text to continue in the final "
            "message!"
        )
    final: str = block["text"]
    block["text"] = final + _CONTINUED
    return marked, final


def _cut(text: str, final: str) -> str:
    """Drop the mark and what the template put after the last message."""
    mark = _CONTINUED.strip()
    if final.strip() not in text or mark not in text:
        raise ValueError(
            "continue_final_message is set but the final message does not appear in the chat after "
            "applying the chat template! This can happen if the chat template deletes portions of "
            "the final message. Please verify the chat template and final message in your chat to "
            "ensure they are compatible."
        )
    place = text.rindex(mark)
    if text[place : place + len(_CONTINUED)] == _CONTINUED:
        return text[:place]
    return text[:place].rstrip()  # the template trims, so the message's own end is not kept either


def _assistant_masks(
    encoded: BatchEncoding, rendered: list[RenderedChat], *, rows: bool
) -> list[list[int]]:
    ids = encoded["input_ids"]
    masks = []
    for row, chat in enumerate(rendered):
        length = len(ids[row]) if rows else len(ids)
        mask = [0] * length
        for start, end in chat.spans:
            first = encoded.char_to_token(row, start)
            last = encoded.char_to_token(row, end - 1)
            if first is None:
                break  # cut off
            stop = last + 1 if last else length
            mask[first:stop] = [1] * (stop - first)
        masks.append(mask)
    return masks
