"""Model files of an instance, and which of them are loaded."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from comfymesh.graphs import MODEL_SUFFIXES

KINDS = (
    "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models",
    "embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "latent_upscale_models",
    "custom_nodes", "hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders",
)  # fmt: skip
"""Folders of model files that every instance lists."""
_VIRTUAL_SIZE = 1_000_000


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file.

    Attributes:
        name: Path below its folder, with ``/``.
        size: Bytes.
        modified: Seconds since the epoch.
    """

    name: str
    size: int
    modified: float


class ModelFiles:
    """Finds model files: those below ``models`` of the base, and those that only the settings name.

    Args:
        base_directory: Base of the instance.
        virtual: Files that exist without a file, as ``kind/name``.
    """

    def __init__(self, base_directory: Path, virtual: tuple[str, ...]) -> None:
        self._root = base_directory / "models"
        self._virtual = {kind: sorted(_names_of(kind, virtual)) for kind in KINDS}

    def files(self, kind: str) -> list[ModelFile]:
        """Returns the files of one kind by name; files that come or go are seen at once."""
        found = {name: ModelFile(name, _VIRTUAL_SIZE, 0.0) for name in self._virtual[kind]}
        folder = self._root / kind
        for path in folder.rglob("*") if folder.is_dir() else ():
            if path.suffix.lower() in MODEL_SUFFIXES and path.is_file():
                stat, name = path.stat(), path.relative_to(folder).as_posix()
                found[name] = ModelFile(name, stat.st_size, stat.st_mtime)
        return [found[name] for name in sorted(found)]

    def names(self, kind: str) -> list[str]:
        """Returns the names of one kind, sorted."""
        # Each prompt that is submitted asks for several kinds, most of which have no folder.
        if not os.path.isdir(f"{self._root}/{kind}"):  # noqa: PTH112  # half of the time that a Path takes
            return self._virtual[kind]
        return [file.name for file in self.files(kind)]


def _names_of(kind: str, entries: tuple[str, ...]) -> set[str]:
    """Names of one kind among entries of the form ``kind/name``."""
    return {entry.removeprefix(f"{kind}/") for entry in entries if entry.startswith(f"{kind}/")}


@dataclass(frozen=True, slots=True)
class LoadTimes:
    """How long loading takes, in seconds: for the files that are named, and for all others."""

    other: float
    named: Mapping[str, float] = field(default_factory=dict)

    def of(self, name: str) -> float:
        """Seconds to load a file."""
        return self.named.get(name, self.other)


class ResidentModels:
    """Files that are loaded. Using one that is not costs its load time; the one unused for longest goes.

    LoRAs are patches of the model that was used last, take no room of theirs, and go when another model is used.

    Args:
        capacity: How many models stay loaded.
        times: How long loading takes.
        sleep: Waits, and cannot be interrupted by a prompt's interrupt.
    """

    def __init__(self, capacity: int, times: LoadTimes, sleep: Callable[[float], None]) -> None:
        self._capacity = max(1, capacity)
        self._times = times
        self._sleep = sleep
        self._lock = threading.Lock()
        self._models: OrderedDict[str, None] = OrderedDict()
        self._patches: dict[str, None] = {}

    def use(self, name: str) -> None:
        """Loads a model unless it is loaded."""
        self._load(name, self._models)
        with self._lock:
            if [*self._models][-1:] != [name]:
                self._patches.clear()
            self._models[name] = None
            self._models.move_to_end(name)
            while len(self._models) > self._capacity:
                self._models.popitem(last=False)

    def patch(self, name: str) -> None:
        """Loads a LoRA unless it is loaded."""
        self._load(name, self._patches)
        with self._lock:
            self._patches[name] = None

    def unload_all(self) -> None:
        """Unloads everything."""
        with self._lock:
            self._models.clear()
            self._patches.clear()

    def names(self) -> list[str]:
        """Returns what is loaded: models, the one unused for longest first, then LoRAs."""
        with self._lock:
            return [*self._models, *self._patches]

    def _load(self, name: str, loaded: Mapping[str, None]) -> None:
        with self._lock:
            resident = name in loaded
        if not resident:
            self._sleep(self._times.of(name))
