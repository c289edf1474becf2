"""The layout keeps its promises: one namespace, pure cores, and one file that knows each library."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import comfymesh

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for pattern in ("protos", "services/*", "clients/*", "devtools/*", "tests/testkit")
    for path in ROOT.glob(f"{pattern}/src/comfymesh")
)
IMPURE = frozenset(
    {
        "aiohttp",
        "apprise",
        "asyncio",
        "docker",
        "grpc",
        "nats",
        "obstore",
        "socket",
        "sqlite3",
        "subprocess",
        "threading",
        "time",
        "websockets",
    }
)
KNOWN_BY = {
    "apprise": {"notifier/sending.py"},
    "nats": {"bus/client.py", "bus/connection.py"},
    "re2": {"notifier/domain/patterns.py"},
    "yaml": {"notifier/rulesfile.py"},
    "prometheus_client": {"telemetry/exposition.py"},
    "aiohappyeyeballs": {"agent/http1/client.py"},
    "docker": {"agent/runtimes/docker_client.py"},
    "httptools": {"agent/http1/response.py"},
    "pynvml": {"agent/nvml.py"},
    "websockets": {"agent/comfyui/socket.py"},
    "obstore": {"artifacts/object_store.py"},
    "sqlite3": {"runtime/database.py"},
    "uvloop": {"runtime/eventloop.py"},
}
SERVICES = ("services/common", "services/api", "services/scheduler", "services/notifier", "services/node-agent")
GATEWAY = "services/gateway"


@dataclass(frozen=True)
class Module:
    """What a module imports, as full names, and all names that it uses."""

    imported: frozenset[str]
    names: frozenset[str]
    members: frozenset[str]
    """What it imports out of packages and modules, by its full name."""

    @property
    def libraries(self) -> set[str]:
        return {name.partition(".")[0] for name in self.imported}


def modules(*folders: str) -> Iterator[tuple[str, Module]]:
    """Every module of our own below the folders, by its path below `comfymesh`. Generated ones are not ours."""
    for source in SOURCES:
        if not folders or source.relative_to(ROOT).as_posix().startswith(folders):
            for path in sorted(source.rglob("*.py")):
                if not path.stem.endswith(("_pb2", "_pb2_grpc")):
                    yield path.relative_to(source).as_posix(), read(path)


@cache
def read(path: Path) -> Module:
    """Each module is read once for all tests."""
    imported, names, members = set(), set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                imported |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module)):
                imported.add(module)
                names |= {alias.name for alias in node.names}
                members |= {f"{module}.{alias.name}" for alias in node.names}
            case ast.Name(id=name) | ast.Attribute(attr=name):
                names.add(name)
    return Module(frozenset(imported), frozenset(names), frozenset(members))


def dotted(path: str) -> str:
    return f"comfymesh.{path.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}"


def is_pure(path: str) -> bool:
    return path.startswith(("tasks/", "graphs/", "workflows/", "comfyui/")) or "/domain/" in path


def test_every_member_is_found() -> None:
    assert len(SOURCES) == 11


def test_the_namespace_has_no_init_of_its_own() -> None:
    assert [path for source in SOURCES for path in source.glob("__init__.py")] == []
    assert getattr(comfymesh, "__file__", None) is None
    assert len(list(comfymesh.__path__)) == len(SOURCES)


def test_every_package_is_marked_as_typed() -> None:
    packages = [
        path for source in SOURCES if "protos" not in source.parts for path in source.iterdir() if path.is_dir()
    ]
    untyped = [path for path in packages if (path / "__init__.py").exists() and not (path / "py.typed").exists()]
    assert untyped == []


def test_every_package_is_type_checked() -> None:
    ours = {
        f"comfymesh.{path.stem}"
        for source in SOURCES
        if "protos" not in source.parts
        for path in source.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert ours == set(settings["tool"]["mypy"]["packages"])


def test_the_pure_parts_know_neither_io_nor_time() -> None:
    pure = [(path, module) for path, module in modules() if is_pure(path)]
    assert len(pure) > 20
    assert {path: known for path, module in pure if (known := module.libraries & IMPURE)} == {}


def test_the_pure_parts_know_no_impure_part_of_ours() -> None:
    allowed = tuple(f"comfymesh.{part}" for part in ("comfyui", "graphs", "tasks", "workflows", "names", "v1", "wire"))
    for path, module in modules():
        if is_pure(path):
            ours = {name for name in module.imported if name.startswith("comfymesh.")}
            foreign = {name for name in ours if not name.startswith(allowed) and ".domain" not in name}
            # What the agent's verdicts judge are values of its ComfyUI client, and what the gateway translates are
            # those of the SDK, which are pure as well.
            values = ("comfymesh.agent.comfyui.", "comfymesh.client")
            assert {name for name in foreign if not name.startswith(values)} == set(), path


@pytest.mark.parametrize("library", KNOWN_BY)
def test_one_file_knows_each_library(library: str) -> None:
    assert {path for path, module in modules(*SERVICES) if library in module.libraries} == KNOWN_BY[library]


def test_one_package_knows_opentelemetry() -> None:
    knowing = {path for path, module in modules(*SERVICES) if "opentelemetry" in module.libraries}
    assert {path.partition("/")[0] for path in knowing} == {"telemetry"}


def test_one_package_speaks_http_to_comfyui_and_one_file_to_others() -> None:
    speakers = {path for path, module in modules(*SERVICES) if "aiohttp" in module.libraries}
    assert speakers == {"egress/http.py"}
    lean = {
        path for path, module in modules() if any(name.startswith("comfymesh.agent.http1") for name in module.imported)
    }
    assert {path for path in lean if not path.startswith("agent/http1/")} == {
        "agent/comfyui/asking.py",
        "agent/comfyui/http.py",
    }


def test_one_file_of_the_gateway_knows_each_library() -> None:
    knowing: dict[str, set[str]] = {library: set() for library in ("PIL", "grpc")}
    for path, module in modules(GATEWAY):
        for library in knowing.keys() & module.libraries:
            knowing[library].add(path)
    assert knowing == {"PIL": {"gateway/pictures.py"}, "grpc": set()}


def test_nothing_unpacks_what_callers_send() -> None:
    unpacking = {"bz2", "gzip", "lzma", "shutil.unpack_archive", "tarfile", "zipfile"}
    knowing = {path for path, module in modules(*SERVICES, GATEWAY) if unpacking & module.imported}
    assert knowing == {"backup/archive.py"}


def test_one_file_of_the_command_line_opens_pictures() -> None:
    assert {path for path, module in modules("clients/python") if "PIL" in module.libraries} == {"cli/pictures.py"}


def test_the_gateway_calls_the_mesh_in_one_file_as_its_callers_do() -> None:
    callers = {path for path, module in modules(GATEWAY) if "AsyncClient" in module.names}
    assert callers == {"gateway/mesh.py", "gateway/main.py"}


@pytest.mark.parametrize("folder", ["services/scheduler", "services/notifier", "services/node-agent"])
def test_only_the_api_speaks_grpc(folder: str) -> None:
    assert {path for path, module in modules(folder) if module.libraries & {"grpc", "grpc_health"}} == set()


@pytest.mark.parametrize(
    ("folder", "foreign"),
    [
        ("services/common", {"api", "scheduler", "agent", "client", "cli", "stack", "emulator", "testkit"}),
        ("services/api", {"scheduler", "agent", "client", "cli", "stack", "emulator", "testkit"}),
        ("services/scheduler", {"api", "agent", "client", "cli", "stack", "emulator", "testkit"}),
        ("services/notifier", {"api", "scheduler", "agent", "client", "cli", "stack", "emulator", "testkit"}),
        ("services/node-agent", {"api", "scheduler", "client", "cli", "stack", "emulator", "testkit"}),
        (GATEWAY, {"api", "scheduler", "agent", "bus", "tasks", "artifacts", "cli", "stack", "emulator", "testkit"}),
        (
            "clients/python",
            {"api", "scheduler", "agent", "bus", "tasks", "artifacts", "runtime", "emulator", "testkit"},
        ),
    ],
)
def test_members_do_not_reach_into_each_other(folder: str, foreign: set[str]) -> None:
    for path, module in modules(folder):
        parts = {name.split(".")[1] for name in module.imported if name.startswith("comfymesh.")}
        assert parts & foreign == set(), path


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = {dotted(path): module for path, module in modules()}
    sources = {
        name: {each if each in known else each.rpartition(".")[0] for each in module.members} & known.keys()
        for name, module in known.items()
    }
    TopologicalSorter(sources).prepare()


def test_no_module_is_too_long() -> None:
    long = {}
    for source in SOURCES:
        for path in source.rglob("*.py"):
            lines = len(path.read_text().splitlines())
            if lines > 400 and not path.stem.endswith(("_pb2", "_pb2_grpc")):
                long[path.name] = lines
    assert long == {}
