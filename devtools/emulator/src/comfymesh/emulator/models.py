"""Model files of an instance, and which of them are loaded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
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
        self._virtual = tuple(entry.partition("/") for entry in virtual)

    def files(self, kind: str) -> list[ModelFile]:
        """Returns the files of one kind by name; files that come or go are seen at once."""
        found = {name: ModelFile(name, _VIRTUAL_SIZE, 0.0) for of, _, name in self._virtual if of == kind}
        folder = self._root / kind
        for path in folder.rglob("*") if folder.is_dir() else ():
            if path.suffix.lower() in MODEL_SUFFIXES and path.is_file():
                stat, name = path.stat(), path.relative_to(folder).as_posix()
                found[name] = ModelFile(name, stat.st_size, stat.st_mtime)
        return [found[name] for name in sorted(found)]

    def names(self, kind: str) -> list[str]:
        """Returns the names of one kind, sorted."""
        return [file.name for file in self.files(kind)]


class ResidentModels:
    """Models that are loaded. Using one that is not costs its load time; the one unused for longest goes.

    Args:
        capacity: How many stay loaded.
        load_seconds: How long loading takes.
        sleep: Waits, and cannot be interrupted by a prompt's interrupt.
    """

    def __init__(self, capacity: int, load_seconds: float, sleep: Callable[[float], None]) -> None:
        self._capacity = capacity
        self._load_seconds = load_seconds
        self._sleep = sleep
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, None] = OrderedDict()

    def use(self, name: str) -> None:
        """Loads a model unless it is loaded."""
        with self._lock:
            resident = name in self._loaded
        if not resident:
            self._sleep(self._load_seconds)
        with self._lock:
            self._loaded[name] = None
            self._loaded.move_to_end(name)
            while len(self._loaded) > max(1, self._capacity):
                self._loaded.popitem(last=False)

    def unload_all(self) -> None:
        """Unloads every model."""
        with self._lock:
            self._loaded.clear()

    def names(self) -> list[str]:
        """Returns what is loaded, the one unused for longest first."""
        with self._lock:
            return [*self._loaded]
