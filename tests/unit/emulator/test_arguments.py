"""The flags that a process manager passes to ComfyUI are understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfymesh.emulator.arguments import parse_arguments
from comfymesh.emulator.faults import Fault, Faults, parse_fault


def test_flags_of_a_real_start_are_accepted() -> None:
    settings = parse_arguments(
        [
            *("--cpu", "--listen", "127.0.0.1", "--port", "9000", "--base-directory", "/data"),
            *("--disable-auto-launch", "--disable-api-nodes", "--preview-method", "latent2rgb"),
            *("--database-url", "sqlite:///x", "--preview-size", "256", "--max-upload-size", "1"),
            *("--cuda-device", "0", "--reserve-vram", "2", "--disable-metadata", "--cache-none"),
        ]
    )
    assert (settings.port, settings.base_directory) == (9000, Path("/data"))
    assert (settings.preview_method, settings.preview_size) == ("latent2rgb", 256)
    assert (settings.max_upload_bytes, settings.cache_entries) == (1024 * 1024, 0)
    assert settings.disable_metadata
    assert settings.arguments[:2] == ("main.py", "--cpu")


def test_previews_are_off_unless_asked_for() -> None:
    assert parse_arguments([]).preview_method == "none"


def test_models_and_faults_are_added_by_name() -> None:
    settings = parse_arguments(
        ["--model", "loras/mine.safetensors", "--fault", "stall_in_step=3", "--fault", "refuse_ws"]
    )
    assert "loras/mine.safetensors" in settings.models
    assert settings.faults == {Fault.STALL_IN_STEP: 3.0, Fault.REFUSE_WS: 1.0}


def test_a_model_may_name_its_load_time() -> None:
    settings = parse_arguments(["--load-seconds", "2", "--model", "checkpoints/big.safetensors=30.5"])
    assert "checkpoints/big.safetensors" in settings.models
    assert [settings.load_times.of(name) for name in ("big.safetensors", "other.pth")] == [30.5, 2.0]


@pytest.mark.parametrize("text", ["mine.safetensors", "loras/", "loras/x=soon"])
def test_a_model_that_names_none_ends_with_the_usage(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--model", text])
    assert "--model" in capsys.readouterr().err


def test_an_unknown_fault_ends_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--fault", "no_such_fault"])
    assert "no_such_fault" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["nope", "refuse_ws=x"])
def test_a_fault_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"nope|x"):
        parse_fault(text)


def test_a_fault_is_taken_once_and_replaced_as_a_whole() -> None:
    faults = Faults({Fault.STALL_IN_STEP: 2.0})
    assert (faults.take(Fault.STALL_IN_STEP), faults.take(Fault.STALL_IN_STEP)) == (2.0, None)
    faults.replace({Fault.REFUSE_WS: 1.0})
    assert faults.as_json() == {"refuse_ws": 1.0}
    assert faults.is_on(Fault.REFUSE_WS)
