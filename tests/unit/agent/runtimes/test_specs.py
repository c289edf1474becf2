from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from comfymesh.agent.runtimes.attach import AttachRuntime
from comfymesh.agent.runtimes.docker import DockerRuntime
from comfymesh.agent.runtimes.factory import build
from comfymesh.agent.runtimes.process import ProcessRuntime
from comfymesh.agent.runtimes.specs import INSTANCE_SPECS, AttachSpec, DockerSpec, ProcessSpec

SETTINGS = """[
  {"runtime": "attach", "name": "a", "url": "http://127.0.0.1:8188"},
  {"runtime": "process", "name": "b", "directory": "/srv/ComfyUI", "arguments": ["--lowvram"]},
  {"runtime": "docker", "name": "c", "image": "comfyui:1", "gpu_uuid": "GPU-4b8c2f9e-0000-1111-2222-333344445555"}
]"""


def test_settings_hold_instances_of_every_runtime() -> None:
    attach, process, docker = INSTANCE_SPECS.validate_json(SETTINGS)
    assert isinstance(attach, AttachSpec)
    assert isinstance(process, ProcessSpec)
    assert isinstance(docker, DockerSpec)


def test_each_spec_is_built_to_its_runtime(tmp_path: Path) -> None:
    runtimes = [build(spec, node="here", state_directory=tmp_path) for spec in INSTANCE_SPECS.validate_json(SETTINGS)]
    assert [type(runtime) for runtime in runtimes] == [AttachRuntime, ProcessRuntime, DockerRuntime]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "A", "a b", "../up", "-a", "a-", "a" * 41, "a/b", "a\n"])
def test_names_that_could_escape_a_path_or_a_container_name_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        AttachSpec.model_validate({"name": name, "url": "http://127.0.0.1:8188"})


@pytest.mark.parametrize("rest", ["?token=1", "/?", "/a#b"])
def test_what_no_request_would_carry_is_refused_in_an_address(rest: str) -> None:
    with pytest.raises(ValidationError, match="is sent with no request"):
        AttachSpec.model_validate({"name": "a", "url": f"http://127.0.0.1:8188{rest}"})


@pytest.mark.parametrize("flag", ["--listen", "--port=80", "--temp-directory", "--temp", "--user", "--database-url=x"])
def test_where_an_instance_listens_and_writes_is_not_for_arguments(flag: str) -> None:
    with pytest.raises(ValidationError, match="is not for `arguments`"):
        ProcessSpec(name="a", directory=Path("/c"), arguments=("--lowvram", flag, "x"))


def test_what_a_container_has_for_itself_may_be_anywhere_and_models_too() -> None:
    own = ("--base-directory", "/data", "--user-directory", "/u", "--database-url", "sqlite:////u/db")
    assert DockerSpec(name="a", image="c", arguments=own).arguments == own
    assert ProcessSpec(name="a", directory=Path("/c"), arguments=own[:2]).arguments == own[:2]
    for kind in ({"runtime": "docker", "image": "c"}, {"runtime": "process", "command": ["c"]}):
        with pytest.raises(ValidationError, match="is not for `arguments`"):
            INSTANCE_SPECS.validate_python([{"name": "a", "arguments": ["--temp-directory", *own], **kind}])


@pytest.mark.parametrize("program", [{}, {"directory": "/srv/ComfyUI", "command": ["comfymesh-emulator"]}])
def test_a_process_has_a_folder_or_a_command_and_not_both(program: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="either `directory`"):
        ProcessSpec.model_validate({"name": "a"} | program)


@pytest.mark.parametrize(
    "setting",
    [
        {"gpu_uuid": "0"},
        {"gpu_uuid": "all"},
        {"memory_bytes": 0},
        {"cpus": 0},
        {"models_directory": "models"},
        {"data_path": "data"},
        {"container_port": 0},
        {"port": 65536},
        {"image": ""},
        {"privileged": True},
    ],
)
def test_settings_that_no_container_could_have_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DockerSpec.model_validate({"name": "a", "image": "comfyui:1"} | setting)


def test_a_url_of_another_scheme_is_refused() -> None:
    with pytest.raises(ValidationError):
        AttachSpec.model_validate({"name": "a", "url": "file:///etc/passwd"})


def test_the_digest_changes_with_any_setting_and_with_nothing_else() -> None:
    spec = ProcessSpec(name="a", command=("comfymesh-emulator",))
    assert spec.digest == ProcessSpec(name="a", command=("comfymesh-emulator",)).digest
    others = [
        ProcessSpec(name="b", command=("comfymesh-emulator",)),
        ProcessSpec(name="a", command=("comfymesh-emulator",), port=8188),
        ProcessSpec(name="a", command=("comfymesh-emulator",), environment={"A": "1"}),
    ]
    assert len({spec.digest, *(other.digest for other in others)}) == 4
