"""The tokens with a role: which they are, their ids, and adding more.

Source: transformers 4.57.6 ``SpecialTokensMixin``. Setting a role's token does not add it to the
vocabulary (5.23 would); ``add_special_tokens`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken

from hubloader.tokenizers.config_values import SPECIAL_TOKEN_NAMES
from hubloader.tokenizers.state import TokenizerState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["SpecialTokens"]

_MORE = ("additional_special_tokens", "extra_special_tokens")  # 4.x's name and 5.x's


class SpecialTokens(TokenizerState):
    """Roles such as ``pad_token``, as attributes; each also as ``pad_token_id``.

    A role without a token is None. Models with roles of their own (``image_token``) have those too.
    """

    SPECIAL_TOKENS_ATTRIBUTES = (*SPECIAL_TOKEN_NAMES, "additional_special_tokens")

    def __getattr__(self, name: str) -> Any:
        roles = self.__dict__.get("_roles")
        if roles is not None:
            if name in roles:
                value = roles[name]
                return None if value is None else str(value)
            if name.endswith("_id") and name[:-3] in roles:
                value = roles[name[:-3]]
                return None if value is None else self.convert_tokens_to_ids(str(value))
        raise AttributeError(f"{type(self).__name__} has no attribute {name}")

    def __setattr__(self, name: str, value: Any) -> None:
        roles = self.__dict__.get("_roles")
        if roles is not None and name in roles:
            self._set_role(name, value)
        elif roles is not None and name.endswith("_id") and name[:-3] in roles:
            self._set_role(name[:-3], None if value is None else self.convert_ids_to_tokens(value))
        else:
            super().__setattr__(name, value)

    def _set_role(self, name: str, value: Any) -> None:
        if value is not None and not isinstance(value, (str, AddedToken)):
            raise ValueError(f"Cannot set a non-string value as the {name}")
        self._roles = {**self._roles, name: value}

    @property
    def additional_special_tokens(self) -> list[str]:
        """Special tokens without a role."""
        return [str(token) for token in self._more_special]

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Sequence[str | AddedToken] | None) -> None:
        self._more_special = list(tokens or ())

    @property
    def additional_special_tokens_ids(self) -> list[int | None]:
        """Ids of the special tokens without a role."""
        return [self.convert_tokens_to_ids(token) for token in self.additional_special_tokens]

    @property
    def extra_special_tokens(self) -> list[str]:
        """Special tokens without a role, by transformers 5's name."""
        return self.additional_special_tokens

    @extra_special_tokens.setter
    def extra_special_tokens(self, tokens: Sequence[str | AddedToken] | None) -> None:
        self._more_special = list(tokens or ())

    @property
    def pad_token_type_id(self) -> int:
        """What padding has in ``token_type_ids``."""
        return self._pad_token_type_id

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        """Roles and their tokens as text; roles without one are left out."""
        table: dict[str, Any] = {name: str(value) for name, value in self._roles.items() if value}
        if self._more_special:
            table["additional_special_tokens"] = self.additional_special_tokens
        return table

    @property
    def special_tokens_map_extended(self) -> dict[str, Any]:
        """Roles and their tokens as they were given: text, or AddedToken with its flags."""
        table: dict[str, Any] = {name: value for name, value in self._roles.items() if value}
        if self._more_special:
            table["additional_special_tokens"] = list(self._more_special)
        return table

    @property
    def all_special_tokens_extended(self) -> list[str | AddedToken]:
        """Every special token once, as it was given."""
        given = [*(value for value in self._roles.values() if value), *self._more_special]
        first: dict[str, str | AddedToken] = {}
        for token in given:
            first.setdefault(str(token), token)
        return list(first.values())

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once, as text."""
        return [str(token) for token in self.all_special_tokens_extended]

    @property
    def all_special_ids(self) -> list[int | None]:
        """The ids of every special token."""
        return [self.convert_tokens_to_ids(token) for token in self.all_special_tokens]

    def add_special_tokens(
        self,
        special_tokens_dict: Mapping[str, Any],
        replace_additional_special_tokens: bool = True,
        replace_extra_special_tokens: bool = True,
    ) -> int:
        """Give roles their tokens and add what the vocabulary lacks.

        Args:
            special_tokens_dict: roles and tokens; ``additional_special_tokens`` (or
                ``extra_special_tokens``) takes a list.
            replace_additional_special_tokens: whether that list takes the place of the old one.
            replace_extra_special_tokens: the same, by transformers 5's name.

        Returns:
            How many tokens were new to the vocabulary.

        """
        replace = replace_additional_special_tokens and replace_extra_special_tokens
        added: list[AddedToken] = []
        for key, value in special_tokens_dict.items():
            if key in _MORE:
                added += self._add_more_special(key, value, replace=replace)
                continue
            if key not in self._roles:
                raise ValueError(f"Key {key} is not a special token")
            if not isinstance(value, (str, AddedToken)):
                raise ValueError(  # noqa: TRY004 - transformers raises this
                    f"Token {value} for key {key} should be a str or an AddedToken instance"
                )
            token = _as_special(value)
            self._set_role(key, token)
            if token not in added:
                added.append(token)
        return self.add_tokens(added, special_tokens=True)

    def _add_more_special(self, key: str, value: Any, *, replace: bool) -> list[AddedToken]:
        if not isinstance(value, (list, tuple)) or not all(
            isinstance(token, (str, AddedToken)) for token in value
        ):
            raise ValueError(
                f"Tokens {value} for key {key} should all be str or AddedToken instances"
            )
        known = set() if replace else set(self.additional_special_tokens)
        new = [_as_special(token) for token in value if str(token) not in known]
        if replace and new:
            self._more_special = list(new)
        else:
            self._more_special = [*self._more_special, *new]
        return new

    def add_tokens(
        self,
        new_tokens: str | AddedToken | Sequence[str | AddedToken],
        special_tokens: bool = False,
    ) -> int:
        """Add tokens that the vocabulary lacks, with the next free ids.

        Args:
            new_tokens: one or several; AddedToken carries flags.
            special_tokens: whether decoding may skip them, and no normalizer touches them.

        Returns:
            How many were new.

        """
        if not new_tokens:
            return 0
        if isinstance(new_tokens, (str, AddedToken)):
            new_tokens = [new_tokens]
        count = self._engine.add_tokens(new_tokens, special=special_tokens)
        self._forget_plans()
        return count

    def sanitize_special_tokens(self) -> int:
        """Add every special token that the vocabulary lacks; returns how many."""
        return self.add_tokens(self.all_special_tokens_extended, special_tokens=True)


def _as_special(token: str | AddedToken) -> AddedToken:
    if isinstance(token, AddedToken):
        return token
    return AddedToken(token, normalized=False, special=True)


def empty_roles() -> dict[str, str | AddedToken | None]:
    """Every role of transformers, without a token."""
    return dict.fromkeys(SPECIAL_TOKEN_NAMES)
