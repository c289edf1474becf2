"""Settings of one emulated instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from comfymesh.emulator.faults import Fault
from comfymesh.emulator.models import LoadTimes

DEFAULT_MODELS = (
    "checkpoints/tiny-sd3-random.safetensors",
    "loras/tiny-lora.safetensors",
    "vae/tiny-vae.safetensors",
    "upscale_models/tiny-compact-2x.pth",
    "upscale_models/tiny-compact-4x.pth",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How an instance is started. Names follow ComfyUI's own flags where it has one.

    Attributes:
        base_directory: Holds ``input``, ``output``, ``temp`` and ``models``; made when missing.
        listen: Address.
        port: Port; 0 lets the system choose.
        input_directory: Instead of ``input`` below the base.
        output_directory: Instead of ``output`` below the base.
        temp_directory: Holds ``temp``, instead of the base.
        preview_method: ``none`` sends no previews, any other method sends them.
        preview_size: Longest edge of a preview, in pixels.
        max_upload_bytes: Limit of a request body.
        disable_metadata: Whether pictures are saved without graph and metadata.
        cache_entries: Results of graph nodes to keep; 0 keeps none.
        load_times: How long loading a model takes.
        step_seconds: How long a sampling step takes.
        resident: How many models stay loaded; using another one costs its load time.
        models: Model files that exist without a file, as ``kind/name``.
        faults: How it misbehaves from the start.
        arguments: The command line, shown by ``/system_stats``.
    """

    base_directory: Path
    listen: str = "127.0.0.1"
    port: int = 8188
    input_directory: Path | None = None
    output_directory: Path | None = None
    temp_directory: Path | None = None
    preview_method: str = "none"
    preview_size: int = 512
    max_upload_bytes: int = 100 * 1024 * 1024
    disable_metadata: bool = False
    cache_entries: int = 64
    load_times: LoadTimes = field(default_factory=lambda: LoadTimes(0.05))
    step_seconds: float = 0.02
    resident: int = 2
    models: tuple[str, ...] = DEFAULT_MODELS
    faults: Mapping[Fault, float] = field(default_factory=dict)
    arguments: tuple[str, ...] = ("main.py",)
