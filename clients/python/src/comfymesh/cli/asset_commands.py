"""Commands for files: assets upload, abort, list, get, download, url and delete."""

from __future__ import annotations

import re
import sys
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from comfymesh.cli.arguments import parse_duration
from comfymesh.cli.complaints import complain
from comfymesh.cli.jsonlines import line, plain
from comfymesh.cli.listing import at_most, limited, page_size, print_list
from comfymesh.cli.options import with_session
from comfymesh.cli.outcomes import exit_code
from comfymesh.cli.session import error_console
from comfymesh.cli.tables import asset_table
from comfymesh.cli.text import one_line, size
from comfymesh.client import ComfyMeshError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from comfymesh.cli.session import Session
    from comfymesh.client import Asset, AsyncClient, OnBytes

_PREFIX = re.compile(r"(?:assets/)?([0-9a-f]{6,63})")

_NAMES = """ASSET is assets/SHA256, the hash alone, or its first six digits or more."""

_GROUP_HELP = """Bring files for tasks to read, and get what is stored.

\b
Examples:
  comfymesh assets upload photo.png
  comfymesh run graph.json --input 8.image=assets/9f86d081884c7d65...
  comfymesh assets list
"""

_UPLOAD_HELP = """Store files, and print the name of each asset.

Goes on where an earlier try broke, and sends nothing that the mesh has already.

\b
Examples:
  comfymesh assets upload photo.png mask.png
  comfymesh assets upload - --name photo.png < photo.png
  comfymesh assets upload video.mp4 --json | jq -r .name
"""

_LIST_HELP = """List assets, those first that were not used for longest.

\b
Examples:
  comfymesh assets list
  comfymesh assets list --limit 500 --json
"""

_GET_HELP = f"""Show what is known of an asset. {_NAMES}

\b
Examples:
  comfymesh assets get 9f86d081
  comfymesh assets get assets/9f86d081884c7d65... --json
"""

_DOWNLOAD_HELP = f"""Save assets and artifacts to files, and print their paths. Never overwrites another file.

Goes on where an earlier try broke. {_NAMES} Artifacts are named tasks/TASK/artifacts/NUMBER.

\b
Examples:
  comfymesh assets download 9f86d081
  comfymesh assets download tasks/t-4f1c/artifacts/0 --out pictures/
"""

_URL_HELP = f"""Print a URL from which anybody can get the file by plain HTTP. Only cloud stores have such.

{_NAMES} Artifacts are named tasks/TASK/artifacts/NUMBER.

\b
Examples:
  comfymesh assets url 9f86d081 --lifetime 15m
  curl -o photo.png "$(comfymesh assets url 9f86d081)"
"""

_DELETE_HELP = f"""Remove assets. Tasks that name them already can still read them; new ones can't name them.

{_NAMES}

\b
Examples:
  comfymesh assets delete 9f86d081 1b4f0e98
"""


_ABORT_HELP = """Give uploads up that broke off: what was announced of them counts for the quota no longer.

FILE is what was being uploaded, or uploads/SHA256.

\b
Examples:
  comfymesh assets abort video.mp4
"""


@click.group("assets", help=_GROUP_HELP, short_help="Bring files, and get what is stored.")
def assets() -> None:  # noqa: D103
    pass


@assets.command(help=_UPLOAD_HELP, short_help="Store files.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--name", metavar="TEXT", help="Name for people; default: the file's. For one file only.")
@with_session
def upload(session: Session, files: tuple[str, ...], name: str | None) -> None:  # noqa: D103
    if name is not None and len(files) > 1:
        raise click.UsageError("--name is for one file; upload them one by one.")

    async def work(client: AsyncClient) -> None:
        for file in files:
            source = sys.stdin.buffer.read() if file == "-" else Path(file)
            with _progress(session, file) as report:
                asset = await client.upload(source, filename=name, on_progress=report)
            click.echo(line(plain(asset)) if session.as_json else asset.name)

    session.call(work)


@assets.command("list", help=_LIST_HELP, short_help="List them.")
@limited
@with_session
def list_assets(session: Session, limit: int) -> None:  # noqa: D103
    found = session.call(lambda client: at_most(limit, client.assets(page_size=page_size(limit))))
    print_list(session, found, partial(asset_table, now=datetime.now(UTC)), "No assets.")


@assets.command(help=_GET_HELP, short_help="Show one.")
@click.argument("asset")
@with_session
def get(session: Session, asset: str) -> None:  # noqa: D103
    async def work(client: AsyncClient) -> Asset:
        return await client.asset(await _resolve(client, asset))

    found = session.call(work)
    if session.as_json:
        click.echo(line(plain(found)))
        return
    for word, value in (
        ("name", found.name),
        ("filename", found.filename),
        ("media type", found.media_type),
        ("size", f"{size(found.size_bytes)} ({found.size_bytes} bytes)"),
        ("stored", str(found.create_time)),
        ("last used", str(found.use_time)),
    ):
        click.echo(f"{word:10} {one_line(value)}")


@assets.command(help=_DOWNLOAD_HELP, short_help="Save assets or artifacts.")
@click.argument("names", nargs=-1, required=True, metavar="ASSET...")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path(), metavar="DIR", help="Where to."
)
@with_session
def download(session: Session, names: tuple[str, ...], out: Path) -> None:  # noqa: D103
    async def work(client: AsyncClient) -> None:
        for name in names:
            with _progress(session, name) as report:
                path = await client.download(await _resolve(client, name), out, on_progress=report)
            click.echo(line({"name": name, "path": str(path)}) if session.as_json else str(path))

    try:
        session.call(work)
    except OSError as error:
        raise click.ClickException(f"can't save to {out}: {error.strerror}; name another folder with --out.") from error


@assets.command(help=_URL_HELP, short_help="A URL of a file, for others.")
@click.argument("name", metavar="ASSET")
@click.option("--lifetime", default="1h", show_default=True, metavar="DURATION", help="How long it is good, up to 1d.")
@with_session
def url(session: Session, name: str, lifetime: str) -> None:  # noqa: D103
    how_long = parse_duration(lifetime)

    async def work(client: AsyncClient) -> tuple[str, datetime | None]:
        made = await client.download_url(await _resolve(client, name), how_long)
        return made.url, made.expire_time

    made, ends = session.call(work)
    click.echo(line({"url": made, "expire_time": plain(ends)}) if session.as_json else made)


@assets.command(help=_ABORT_HELP, short_help="Give uploads up.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@with_session
def abort(session: Session, files: tuple[str, ...]) -> None:  # noqa: D103
    async def work(client: AsyncClient) -> None:
        for file in files:
            await client.abort_upload(file)
            click.echo(line({"file": file, "aborted": True}) if session.as_json else f"{file}: no longer under way")

    session.call(work)


@assets.command(help=_DELETE_HELP, short_help="Remove assets.")
@click.argument("names", nargs=-1, required=True, metavar="ASSET...")
@with_session
def delete(session: Session, names: tuple[str, ...]) -> None:  # noqa: D103
    async def work(client: AsyncClient) -> Sequence[ComfyMeshError]:
        refused = []
        for name in names:
            try:
                full = await _resolve(client, name)
                await client.delete_asset(full)
            except ComfyMeshError as error:
                refused.append(error)
            else:
                click.echo(line({"name": full, "deleted": True}) if session.as_json else f"{full} deleted")
        return refused

    refused = session.call(work)
    for error in refused:
        complain(session, error)
    if refused:
        raise SystemExit(max(map(exit_code, refused)))


async def _resolve(client: AsyncClient, name: str) -> str:
    """The full name of what the user means."""
    short = _PREFIX.fullmatch(name)
    if short is None:
        return name if "/" in name else f"assets/{name}"
    wanted = f"assets/{short[1]}"
    async with aclosing(client.assets(page_size=1000)) as stored:
        found = [asset.name async for asset in stored if asset.name.startswith(wanted)]
    if len(found) != 1:
        problem = f"{len(found)} assets begin" if found else "no asset begins"
        raise click.UsageError(f"{problem} with {wanted}; `comfymesh assets list` shows them all.")
    return found[0]


@contextmanager
def _progress(session: Session, name: str) -> Iterator[OnBytes | None]:
    """A bar on standard error while it lasts, where somebody looks at it."""
    console = error_console()
    if session.as_json or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(one_line(name), total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)
