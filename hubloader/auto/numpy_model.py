"""What a numpy model has besides: it takes lists, and says what is wrong with a batch.

A mixin like ``pretrained.py``'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.auto.pretrained import PretrainedModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from hubloader.auto.select import Backend

__all__ = ["NumpyModel"]


class NumpyModel(PretrainedModel):
    """What a numpy model has besides: it takes lists, and answers the same questions."""

    backend: ClassVar[Backend] = "numpy"
    device: ClassVar[str] = "cpu"
    axes: ClassVar[int] = 2  # of input_ids: texts, tokens
    saved_dtype: str | None = None  # the checkpoint's or the caller's: it computes in another

    @property
    def dtype(self) -> Any:
        """What it computes in."""
        import numpy as np  # first use

        return np.dtype(np.float32)

    def eval(self) -> Self:
        """Nothing to switch: numpy does not train."""
        return self

    def _prepared(self, inputs: dict[str, Any]) -> dict[str, Any]:
        arrays = {name: _array(name, value) for name, value in inputs.items()}
        _check_batch(arrays, self.axes)
        return arrays


def _array(name: str, value: Any) -> Any:
    import numpy as np  # first use

    try:
        return np.asarray(value)
    except ValueError:  # rows of several lengths
        raise ValueError(
            f"{name} is no table: texts of one batch have one length, which padding=True in the "
            "tokenizer's call gives them"
        ) from None


def _check_batch(arrays: Mapping[str, Any], axes: int) -> None:
    """Say what is wrong with a batch before numpy does, in words of broadcasting."""
    ids = arrays.get("input_ids")
    if ids is None:
        return
    if ids.ndim == axes and ids.shape[-1] == 0:
        raise ValueError("input_ids holds no token: a text has one at the least")
    if ids.ndim != axes or ids.dtype.kind not in "iu":
        raise ValueError(
            f"input_ids are whole numbers in rows of one length, ({_AXES[axes]}), and not "
            f"{ids.dtype} of shape {ids.shape}; one text is a batch of one: [ids]"
        )
    for name in _BESIDE_IDS & arrays.keys():
        value = arrays[name]
        whole_mask = name == "attention_mask" and value.ndim in {3, 4}
        if value.shape != ids.shape and not whole_mask:
            raise ValueError(
                f"{name} of shape {value.shape} does not fit input_ids of shape {ids.shape}"
            )


_AXES = {2: "texts, tokens", 3: "texts, choices, tokens"}
_BESIDE_IDS = frozenset({"attention_mask", "token_type_ids"})
