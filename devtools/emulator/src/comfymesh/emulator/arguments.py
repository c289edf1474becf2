"""The command line: the flags of ComfyUI that a process manager passes, and the emulator's own."""

from __future__ import annotations

import argparse
from pathlib import Path

from comfymesh.emulator.faults import Fault, parse_fault
from comfymesh.emulator.models import LoadTimes
from comfymesh.emulator.settings import DEFAULT_MODELS, Settings

_SWITCHES_WITHOUT_EFFECT = (
    "--cpu", "--disable-auto-launch", "--disable-api-nodes", "--disable-all-custom-nodes", "--multi-user",
    "--enable-assets", "--cache-classic", "--dont-print-server", "--highvram", "--normalvram", "--lowvram",
    "--novram", "--gpu-only", "--deterministic", "--disable-smart-memory", "--enable-cors-header", "--fast",
)  # fmt: skip
_OPTIONS_WITHOUT_EFFECT = (
    "--database-url", "--user-directory", "--cuda-device", "--reserve-vram", "--extra-model-paths-config",
    "--tls-keyfile", "--tls-certfile", "--verbose", "--front-end-version", "--front-end-root",
)  # fmt: skip


def parse_arguments(arguments: list[str]) -> Settings:
    """Reads the command line; unusable arguments end the process with the usage, as argparse does."""
    parser = _parser()
    given = parser.parse_args(arguments)
    cache = 0 if given.cache_none else given.cache_lru
    return Settings(
        base_directory=given.base_directory,
        listen=given.listen,
        port=given.port,
        input_directory=given.input_directory,
        output_directory=given.output_directory,
        temp_directory=given.temp_directory,
        preview_method=given.preview_method,
        preview_size=given.preview_size,
        max_upload_bytes=int(given.max_upload_size * 1024 * 1024),
        disable_metadata=given.disable_metadata,
        cache_entries=cache,
        load_times=LoadTimes(given.load_seconds, {name: time for _, name, time in given.model if time is not None}),
        step_seconds=given.step_seconds,
        resident=given.resident,
        models=(*DEFAULT_MODELS, *(f"{kind}/{name}" for kind, name, _ in given.model)),
        faults=dict(given.fault),
        arguments=("main.py", *arguments),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "comfymesh-emulator",
        description="An emulator of ComfyUI: real pictures without a GPU, failures on demand.",
    )
    _add_comfyui_flags(parser)
    own = parser.add_argument_group("the emulator's own")
    own.add_argument("--load-seconds", type=float, default=0.05, help="time to load a model that names no other")
    own.add_argument("--step-seconds", type=float, default=0.02, help="time of a sampling step")
    own.add_argument("--resident", type=int, default=2, metavar="N", help="models that stay loaded")
    own.add_argument(
        "--model",
        action="append",
        default=[],
        type=_model,
        metavar="KIND/NAME[=SECONDS]",
        help="a further model file, and the time to load it",
    )
    own.add_argument(
        "--fault",
        action="append",
        default=[],
        type=parse_fault,
        metavar="NAME[=VALUE]",
        help=f"misbehave: {', '.join(Fault)}",
    )
    return parser


def _model(text: str) -> tuple[str, str, float | None]:
    path, _, seconds = text.partition("=")
    kind, _, name = path.partition("/")
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not KIND/NAME, such as loras/mine.safetensors")
    return kind, name, float(seconds) if seconds else None


def _add_comfyui_flags(parser: argparse.ArgumentParser) -> None:
    flags = parser.add_argument_group("as in ComfyUI")
    flags.add_argument("--listen", default="127.0.0.1", nargs="?", const="0.0.0.0")  # noqa: S104 (as ComfyUI)
    flags.add_argument("--port", type=int, default=8188, help="0 takes a free one")
    flags.add_argument("--base-directory", type=Path, default=Path.cwd())
    flags.add_argument("--input-directory", type=Path)
    flags.add_argument("--output-directory", type=Path)
    flags.add_argument("--temp-directory", type=Path)
    methods = ("none", "auto", "latent2rgb", "taesd")
    flags.add_argument("--preview-method", choices=methods, default="none")
    flags.add_argument("--preview-size", type=int, default=512)
    flags.add_argument("--max-upload-size", type=float, default=100, metavar="MB")
    flags.add_argument("--disable-metadata", action="store_true")
    flags.add_argument("--cache-none", action="store_true")
    flags.add_argument("--cache-lru", type=int, default=64, metavar="N")
    flags.add_argument("--cache-ram", nargs="*", help=argparse.SUPPRESS)
    for name in _SWITCHES_WITHOUT_EFFECT:
        flags.add_argument(name, nargs="?", const="", help=argparse.SUPPRESS)
    for name in _OPTIONS_WITHOUT_EFFECT:
        flags.add_argument(name, help=argparse.SUPPRESS)
