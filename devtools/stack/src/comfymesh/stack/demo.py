"""The demonstration: brings a mesh up, runs the examples on it, shows the progress, saves the pictures, and goes.

Run as `python -m comfymesh.stack.demo`, with COMFYUI_URL or COMFYUI_DIR for a real ComfyUI. With --target it brings
nothing up: it runs the examples on a mesh that is there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

import click

from comfymesh.stack import mesh, sources
from comfymesh.stack.ownership import MeshNotReadyError

_STEP_SECONDS = "0.15"
_LOAD_SECONDS = "0.5"
_PATIENCE = ("--connect-timeout", "60")
"""A mesh that is just starting says UNAVAILABLE for a while."""


@click.command()
@click.option("--examples", type=click.Path(exists=True, path_type=Path), default=Path("examples"), show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("out"), show_default=True)
@click.option(
    "--target", metavar="HOST:PORT", help="The api of a mesh that runs; one is brought up where none is named."
)
def demo(examples: Path, out: Path, target: str | None) -> None:
    """Run a text-to-image and an image-to-image workflow on a whole mesh of real processes."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if target:
        sys.exit(asyncio.run(_run_both(target, examples, out, [])))
    with tempfile.TemporaryDirectory(prefix="comfymesh-demo-") as directory:
        try:
            code = asyncio.run(_demo(Path(directory), examples, out))
        except MeshNotReadyError as error:
            print_logs(Path(directory) / "logs")
            raise click.ClickException(str(error)) from error
    sys.exit(code)


async def _demo(directory: Path, examples: Path, out: Path) -> int:
    instance, what = sources.instance(os.environ, "--step-seconds", _STEP_SECONDS, "--load-seconds", _LOAD_SECONDS)
    await asyncio.to_thread(sources.require, os.environ)
    model = await asyncio.to_thread(sources.checkpoint, os.environ)
    chosen = ["--set", f"1.ckpt_name={model}"] if model else []
    click.echo(f"Starting NATS, scheduler, agent and API, with {what} ...")
    began = time.monotonic()
    async with mesh.running(mesh.MeshPlan(directory, [instance], "127.0.0.1:0")) as up:
        click.echo(f"The mesh is up after {time.monotonic() - began:.1f} s; its API listens on {up.target}.")
        code = await _run_both(up.target, examples, out, chosen)
        click.echo("\nStopping everything ...")
    click.echo(f"Done. The pictures are in {out}/." if code == 0 else "The demo failed, see above.")
    return code


async def _run_both(target: str, examples: Path, out: Path, chosen: list[str]) -> int:
    photo = ["--input", f"8.image=@{examples / 'photo.png'}"]
    code = await _run(target, out, "Text to image", [str(examples / "text-to-image.json"), *chosen])
    return code or await _run(target, out, "Image to image", [str(examples / "image-to-image.json"), *chosen, *photo])


async def _run(target: str, out: Path, title: str, arguments: list[str]) -> int:
    """The command line, as a user would call it, on this terminal."""
    click.echo(f"\n{title}:  comfymesh run {' '.join(arguments)}")
    command = [
        sys.executable,
        "-m",
        "comfymesh.cli",
        "--target",
        target,
        "run",
        *arguments,
        "--out",
        str(out),
        *_PATIENCE,
    ]
    process = await asyncio.create_subprocess_exec(*command)
    return await process.wait()


def print_logs(logs: Path) -> None:
    """The last lines of each service, for whoever has to find out why a demonstration failed."""
    for path in sorted(logs.glob("*.log")):
        click.echo(f"--- {path.name}, its last lines", err=True)
        click.echo("\n".join(path.read_text(errors="replace").splitlines()[-20:]), err=True)


if __name__ == "__main__":
    demo()
