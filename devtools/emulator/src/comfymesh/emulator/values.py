"""What flows along the links of a graph inside the emulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

from PIL import Image

Images: TypeAlias = tuple[Image.Image, ...]
"""A batch of pictures of mode RGB and one size."""
Masks: TypeAlias = tuple[Image.Image, ...]
"""A batch of masks of mode L and one size."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Model:
    """Stands for a loaded model, text encoder or VAE."""

    name: str


@dataclass(frozen=True, slots=True)
class Conditioning:
    """Stands for an encoded prompt."""

    text: str


@dataclass(frozen=True, slots=True)
class Latent:
    """Stands for latent pictures.

    Attributes:
        width: Pixels after decoding.
        height: Pixels after decoding.
        batch: Number of pictures.
        pictures: What they show, or nothing for an empty latent.
    """

    width: int
    height: int
    batch: int
    pictures: Images = ()


@dataclass(frozen=True, slots=True)
class Audio:
    """A piece of sound: mono, 16 bit.

    Attributes:
        samples: Little-endian samples.
        rate: Samples in a second.
    """

    samples: bytes
    rate: int


@dataclass(frozen=True, slots=True)
class Video:
    """Pictures to be shown one after another."""

    pictures: Images
    fps: float


@dataclass(frozen=True, slots=True)
class Blocked:
    """Stands where a value should be: what depends on it is not run. The message is told to the client once."""

    message: str | None


@dataclass(frozen=True, slots=True)
class Expansion:
    """Graph nodes made at run time, in place of the one that made them.

    Attributes:
        nodes: Suffix of the graph node id to graph node; links among them use these suffixes.
        result: Links whose values become the outputs of the expanding graph node.
    """

    nodes: Mapping[str, tuple[str, Mapping[str, object]]]
    result: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What running a graph node gave.

    Attributes:
        outputs: One value for each output slot.
        ui: What an output node tells clients and history, or None.
        expansion: Graph nodes to run instead.
    """

    outputs: tuple[object, ...] = ()
    ui: Mapping[str, object] | None = None
    expansion: Expansion | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    """The resolved inputs of a graph node, read by type.

    Every reader raises TypeError when the value is of another type, which ends the graph node with an error.
    """

    values: Mapping[str, object] = field(default_factory=dict)

    def get(self, name: str, kind: type[T]) -> T:
        """Returns an input that must be there."""
        value = self.values[name]
        if not isinstance(value, kind):
            raise TypeError(f"input {name} is a {type(value).__name__}, not a {kind.__name__}")
        return value

    def optional(self, name: str, kind: type[T]) -> T | None:
        """Returns an input, or None when it is not given."""
        return self.get(name, kind) if self.values.get(name) is not None else None

    def images(self, name: str) -> Images:
        """Returns a batch of pictures or masks."""
        return self.get(name, tuple)

    def integer(self, name: str, default: int = 0) -> int:
        """Returns an INT."""
        return self.get(name, int) if name in self.values else default

    def number(self, name: str) -> float:
        """Returns a FLOAT."""
        return float(self.get(name, float | int))  # type: ignore[arg-type]

    def text(self, name: str, default: str = "") -> str:
        """Returns a STRING or the value of a list."""
        return self.get(name, str) if name in self.values else default

    def flag(self, name: str) -> bool:
        """Returns a BOOLEAN."""
        return self.get(name, bool)


def with_pictures(latent: Latent, pictures: Images) -> Latent:
    """Returns a latent that shows these pictures."""
    return replace(latent, batch=len(pictures), pictures=pictures)
