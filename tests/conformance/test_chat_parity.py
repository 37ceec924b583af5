"""Are ten well-known shapes of chat templates rendered as transformers renders them?

The templates under cache_fixtures/chat_templates are ours, in the shapes of ChatML, Llama 2 and 3,
Gemma, Zephyr, Qwen's and Hermes' tools, Command R's documents, DeepSeek's thinking, Phi's parts of
messages, and Harmony's channels.
"""

import json
from pathlib import Path
from typing import Literal

import pytest

from hubloader.auto.tokenizer import AutoTokenizer

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "cache_fixtures" / "chat_templates").glob("*.jinja"))
}


def get_weather(
    city: str, unit: Literal["celsius", "kelvin"] = "celsius", days: list[int] | None = None
) -> dict[str, float]:
    """Look up the weather.

    Args:
        city: The city,
            as people write it
        unit: What to measure in (choices: ["celsius", "kelvin"])
        days: Which days

    Returns:
        What it will be.
    """


TALK = [
    {"role": "user", "content": "  Wie heißt du? 你好 <b>&amp;</b> "},
    {"role": "assistant", "content": "<think>hm</think>\n\nIch bin ein Modell. 🤗"},
    {"role": "user", "content": "And \r\n now?\n"},
    {"role": "assistant", "content": "The same,  as before. "},
]
SYSTEM = [{"role": "system", "content": "Be brief."}]
TOOL_TALK = [
    {"role": "user", "content": "Wetter in Köln?"},
    {"role": "assistant", "content": "Ich sehe nach.", "tool_calls": [
        {"type": "function",
         "function": {"name": "get_weather", "arguments": {"city": "Köln", "days": [1, 2]}}},
        {"type": "function", "function": {"name": "get_weather", "arguments": {"b": 1, "a": None}}},
    ]},
    {"role": "tool", "content": "12.5"},
    {"role": "tool", "content": "13"},
    {"role": "assistant", "content": "12,5 °C."},
]  # fmt: skip
PARTS = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it? "}]},
    {"role": "assistant", "content": "A cat."},
]
DOCUMENTS = [{"title": "Cats", "text": "They purr."}, {"title": "Dogs", "text": "They bark."}]
CALLS = {
    "talk": (TALK, {}),
    "prompt": (TALK[:3], {"add_generation_prompt": True}),
    "system": (SYSTEM + TALK, {}),
    "continued": (TALK, {"continue_final_message": True}),
    "tools": (TOOL_TALK, {"tools": [get_weather, {"type": "function", "function": {
        "name": "x", "description": "d", "strict": True, "parameters": {"properties": {}}}}],
        "enable_thinking": False, "add_generation_prompt": True}),
    "documents": (TALK, {"documents": DOCUMENTS, "date": "2026-01-02"}),
    "parts": (PARTS, {}),
    "batch": ([TALK, TALK[:2]], {}),
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    import transformers

    folder = tmp_path_factory.mktemp("chat")
    model = ROOT / "cache_fixtures" / "tokenizers" / "spm-llama" / "tokenizer.model"
    (folder / "tokenizer.model").write_bytes(model.read_bytes())
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "LlamaTokenizer", "pad_token": "<unk>"})
    )
    ours = AutoTokenizer.from_pretrained(folder)
    ours.save_pretrained(folder / "saved", legacy_format=False)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(
        folder / "saved", padding_side="left"
    )
    return ours, theirs


def outcome(tokenizer, conversation, arguments):
    try:
        return tokenizer.apply_chat_template(conversation, **arguments)
    except Exception as error:  # noqa: BLE001 - which it is is compared
        return ("refused", str(error).splitlines()[0])


def same(ours, theirs):
    refused = [isinstance(each, tuple) for each in (ours, theirs)]
    if all(refused):  # their words where a template chose them, ours around what Jinja says
        return theirs[1] in ours[1]
    return ours == theirs


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_conversation_is_written_alike(tokenizers, name, call):
    conversation, arguments = CALLS[call]
    arguments = {**arguments, "chat_template": TEMPLATES[name], "tokenize": False}
    ours, theirs = (outcome(each, conversation, arguments) for each in tokenizers)
    assert same(ours, theirs), (ours, theirs)


def test_most_conversations_are_written_and_not_refused(tokenizers):
    written = [
        isinstance(
            outcome(tokenizers[0], conversation, {**arguments, "chat_template": template,
                    "tokenize": False}), (str, list))
        for conversation, arguments in CALLS.values() for template in TEMPLATES.values()
    ]  # fmt: skip
    assert len(TEMPLATES) == 10
    assert sum(written) >= 60


@pytest.mark.parametrize(
    "arguments",
    [{}, {"padding": True}, {"truncation": True, "max_length": 40}, {"return_tensors": "np",
     "padding": True}],
)  # fmt: skip
@pytest.mark.parametrize("name", [name for name in TEMPLATES if "generation %" in TEMPLATES[name]])
def test_ids_and_assistant_masks_are_the_same(tokenizers, name, arguments):
    for conversation in (TALK, [TALK, TALK[:2]]):
        ours, theirs = (
            tokenizer.apply_chat_template(
                conversation,
                chat_template=TEMPLATES[name],
                return_dict=True,
                return_assistant_tokens_mask=True,
                **arguments,
            )
            for tokenizer in tokenizers
        )
        for column in ("input_ids", "attention_mask", "assistant_masks"):
            expected = theirs[column]
            found = ours[column]
            assert [list(row) if hasattr(row, "__len__") else row for row in found] == [
                list(row) if hasattr(row, "__len__") else row for row in expected
            ], column


def test_a_function_becomes_the_schema_that_transformers_makes():
    from transformers.utils import get_json_schema

    from hubloader.tokenizers.chat_tools import tool_schema

    assert tool_schema(get_weather) == get_json_schema(get_weather)
