"""A module tree for frameworks that have none we want: named slots, filled when weights come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hubloader.types import LoadReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["Items", "Slot", "Tree", "load_slots"]


class Slot(NamedTuple):
    """A parameter's place: its dotted name, who holds it under which attribute, its shape.

    What is not ``trained`` is a number of the checkpoint that training leaves as it is.
    """

    name: str
    owner: Tree
    attribute: str
    shape: tuple[int, ...]
    trained: bool = True


class Tree:
    """A layer with slots for parameters and with other layers as attributes."""

    training = False

    def slot(self, name: str, shape: tuple[int, ...], *, trained: bool = True) -> None:
        """Declare a parameter; its attribute is None until it is loaded."""
        self.__dict__.setdefault("_shapes", {})[name] = (shape, trained)
        setattr(self, name, None)

    def children(self) -> Iterator[tuple[str, Tree]]:
        """Yield the layers right below, in the order they were set."""
        return ((name, child) for name, child in vars(self).items() if isinstance(child, Tree))

    def slots(self, prefix: str = "") -> Iterator[Slot]:
        """Yield every parameter's place, in definition order."""
        for name, (shape, trained) in self.__dict__.get("_shapes", {}).items():
            yield Slot(prefix + name, self, name, shape, trained)
        for name, child in self.children():
            yield from child.slots(f"{prefix}{name}.")

    def train(self, mode: bool = True) -> None:
        """Set ``training`` here and below."""
        if self.training != mode:
            self.training = mode
        for _, child in self.children():
            child.train(mode)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute."""
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute; every layer has its own."""
        raise NotImplementedError


class Items:
    """Layers in a row, named 0, 1, …: what lists of layers are on such frameworks."""

    def __init__(self, items: Sequence[Any]) -> None:
        super().__init__()
        for i, item in enumerate(items):
            setattr(self, str(i), item)
        self._length = len(items)

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, str(i)) for i in range(self._length))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        return getattr(self, str(range(self._length)[index]))


def load_slots(
    module: Tree, tensors: Mapping[str, Any], to_native: Callable[[Any, Slot], Any]
) -> LoadReport:
    """Fill the slots that ``tensors`` has a value of the right shape for."""
    loaded, missing, mismatched = [], [], []
    names, filled = set(), set()
    for slot in module.slots():
        names.add(slot.name)
        if slot.name not in tensors:
            missing.append(slot.name)
            continue
        tensor = tensors[slot.name]
        shape = tuple(tensor.shape)
        if shape != slot.shape:
            mismatched.append((slot.name, shape, slot.shape))
            continue
        loaded.append(slot.name)
        place = (id(slot.owner), slot.attribute)
        if place not in filled:  # two layers may share one
            filled.add(place)
            setattr(slot.owner, slot.attribute, to_native(tensor, slot))
    return LoadReport(
        loaded=tuple(loaded),
        missing=tuple(missing),
        unexpected=tuple(sorted(set(tensors) - names)),
        mismatched=tuple(mismatched),
    )
