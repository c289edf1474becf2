"""A Docker Engine of a test's own, which it may kill and whose disk it may fill, and a registry to pull from."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from comfymesh.testkit.containers import docker

TINY = "tiny:1"
"""An image with a shell and `sleep`, and nothing else."""

_READY_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_PIECE = 64 * 1024


class OwnEngine:
    """An engine with a small disk of its own. Needs root.

    Args:
        mebibytes: Size of its disk.
    """

    def __init__(self, mebibytes: int) -> None:
        # The path of a socket must be short, and those of pytest are not.
        self.folder = Path(tempfile.mkdtemp(prefix="engine-", dir="/tmp"))
        self.address = f"unix://{self.folder}/docker.sock"
        self._mebibytes = mebibytes
        self._disk = self.folder / "disk"
        self._filler = self._disk / "filler"
        self._daemon: subprocess.Popen[bytes] | None = None
        self._containers: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self._mebibytes}m", "tmpfs", self._disk], check=True)
        # As packages of engines have it: what runs containers is not the daemon's child, and outlives it.
        flags = {"address": "containerd.sock", "root": "disk/containerd", "state": "containerd"}
        flags = {name: str(self.folder / path) for name, path in flags.items()}
        self._containers = self._run("containerd", {**flags, "log-level": "error"})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._filler.unlink(missing_ok=True)
        self.start()
        for container in self.cli("ps", "--all", "--quiet").split():
            self.cli("rm", "--force", container)
        for process in (self._daemon, self._containers):
            assert process is not None
            process.terminate()
            process.wait(_READY_SECONDS)
        subprocess.run(["umount", "--recursive", self._disk], check=True)
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Have the daemon run."""
        if self._daemon is not None and self._daemon.poll() is None:
            return
        (self.folder / "dockerd.pid").unlink(missing_ok=True)
        flags = {
            "host": self.address,
            "containerd": self.folder / "containerd.sock",
            "data-root": self._disk,
            "exec-root": self.folder / "run",
            "pidfile": self.folder / "dockerd.pid",
            "bridge": "none",
            "default-address-pool": "base=10.233.0.0/16,size=24",
            "iptables": "false",
            "log-level": "error",
        }
        self._daemon = self._run("dockerd", flags)
        self._wait()

    def _run(self, program: str, flags: dict[str, object]) -> subprocess.Popen[bytes]:
        words = [f"--{name}={value}" for name, value in flags.items()]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen([program, *words], stdout=log, stderr=log)

    def kill(self) -> None:
        """Kill the daemon."""
        assert self._daemon is not None
        self._daemon.kill()
        self._daemon.wait()

    def fill(self) -> None:
        """Leave nothing of its disk."""
        with self._filler.open("wb") as file:
            try:
                while True:
                    file.write(bytes(65536))
                    file.flush()
            except OSError:
                return

    def free(self) -> None:
        """Have room on its disk again."""
        self._filler.unlink(missing_ok=True)

    def cli(self, *words: str) -> str:
        """What the docker client prints."""
        return docker("--host", self.address, *words)

    def load(self) -> None:
        """Give it the image `TINY`."""
        archive = self.folder / "tiny.tar"
        archive.write_bytes(_archive(_programs("sh", "sleep")))
        self.cli("import", str(archive), TINY)
        archive.unlink()

    def _wait(self) -> None:
        until = time.monotonic() + _READY_SECONDS
        while not self._answers():
            log = (self.folder / "log").read_text()[-2000:]
            assert self._daemon is not None
            assert self._daemon.poll() is None, log
            assert time.monotonic() < until, log
            time.sleep(_LOOK_SECONDS)

    def _answers(self) -> bool:
        asked = ["docker", "--host", self.address, "version"]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def _programs(*names: str) -> dict[str, bytes]:
    """Programs of this machine with the libraries that they load, by path."""
    files: dict[str, bytes] = {}
    for name in names:
        program = os.path.realpath(shutil.which(name) or name)
        linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for path in re.findall(r"(/\S+) \(0x", linked):
            files[path] = Path(path).read_bytes()
        files[f"/bin/{name}"] = Path(program).read_bytes()
    return files


def _archive(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


class Registry:
    """A registry with one image: that of `TINY` with noise, so that no engine can have it yet.

    Engines pull from loopback without TLS.

    The API is that of the OCI distribution specification, as far as a pull needs it.

    Args:
        mebibytes: How much noise.

    Attributes:
        hurries: While it is not set, of a layer comes only a little now and then, and never all.
    """

    NAME = "noise"

    def __init__(self, mebibytes: int) -> None:
        layer = _archive({**_programs("sh", "sleep"), "/noise": os.urandom(mebibytes * 1024 * 1024)})  # no secret
        packed = gzip.compress(layer, 1)
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/none"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
        kind = "application/vnd.docker"
        self._blobs = {_digest(blob): blob for blob in (packed, _json(config))}
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{kind}.distribution.manifest.v2+json",
            "config": _described(_json(config), f"{kind}.container.image.v1+json"),
            "layers": [_described(packed, f"{kind}.image.rootfs.diff.tar.gzip")],
        }
        self._manifest = _json(manifest)
        self._kind = str(manifest["mediaType"])
        self._runner: web.AppRunner | None = None
        self.hurries = asyncio.Event()
        self.hurries.set()
        self.digest = _digest(self._manifest)
        self.port = 0

    @property
    def repository(self) -> str:
        """What the image is called, without tag or digest."""
        return f"127.0.0.1:{self.port}/{self.NAME}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(
            [
                web.get("/v2/", self._there),
                web.get(f"/v2/{self.NAME}/manifests/{{reference}}", self._answer_manifest),
                web.get(f"/v2/{self.NAME}/blobs/{{digest}}", self._answer_blob),
            ]
        )
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _there(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def _answer_manifest(self, request: web.Request) -> web.Response:
        """Whatever is asked for, this is what it has: so a digest that is another one's is answered with a lie."""
        headers = {"Docker-Content-Digest": request.match_info["reference"], "Content-Type": self._kind}
        if not request.match_info["reference"].startswith("sha256:"):
            headers["Docker-Content-Digest"] = self.digest
        return web.Response(body=self._manifest, headers=headers)

    async def _answer_blob(self, request: web.Request) -> web.StreamResponse:
        blob = self._blobs[request.match_info["digest"]]
        answer = web.StreamResponse()
        answer.content_length, answer.content_type = len(blob), "application/octet-stream"
        await answer.prepare(request)
        with contextlib.suppress(ConnectionResetError):  # An engine may give it up.
            await self._send(blob, answer)
        return answer

    async def _send(self, blob: bytes, answer: web.StreamResponse) -> None:
        while len(blob) > 2 * _PIECE and not self.hurries.is_set():
            await answer.write(blob[:_PIECE])
            blob = blob[_PIECE:]
            await asyncio.sleep(_LOOK_SECONDS)
        await self.hurries.wait()
        await answer.write(blob)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _described(content: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "size": len(content), "digest": _digest(content)}
