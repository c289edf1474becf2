"""Model files are found, and loading is paid for once."""

from __future__ import annotations

from pathlib import Path

from comfymesh.emulator.models import LoadTimes, ModelFiles, ResidentModels


def test_files_that_come_and_go_are_seen(tmp_path: Path) -> None:
    files = ModelFiles(tmp_path, ("loras/virtual.safetensors",))
    folder = tmp_path / "models" / "loras" / "deep"
    folder.mkdir(parents=True)
    (folder / "real.pth").write_bytes(b"12345")
    (folder / "notes.txt").touch()
    assert next((file.name, file.size) for file in files.files("loras")) == ("deep/real.pth", 5)
    assert files.names("loras") == ["deep/real.pth", "virtual.safetensors"]
    (folder / "real.pth").unlink()
    assert files.names("loras") == ["virtual.safetensors"]
    assert files.names("checkpoints") == []


def test_loading_is_paid_for_only_when_a_model_is_not_resident() -> None:
    slept: list[float] = []
    resident = ResidentModels(2, LoadTimes(1.5), slept.append)
    for name in ("a", "a", "b", "a"):
        resident.use(name)
    assert slept == [1.5, 1.5]
    resident.use("c")
    assert resident.names() == ["a", "c"]
    resident.use("b")
    assert len(slept) == 4
    resident.unload_all()
    assert resident.names() == []


def test_a_file_may_take_a_time_of_its_own() -> None:
    slept: list[float] = []
    resident = ResidentModels(1, LoadTimes(1.5, {"large": 20.0}), slept.append)
    for name in ("large", "small", "large"):
        resident.use(name)
    assert slept == [20.0, 1.5, 20.0]


def test_loras_take_no_room_and_stay_as_long_as_their_model_is_used() -> None:
    slept: list[float] = []
    resident = ResidentModels(2, LoadTimes(1.0, {"detail": 3.0}), slept.append)
    for model in ("first", "first", "second", "first"):
        resident.use(model)
        resident.patch("detail")
    assert slept == [1.0, 3.0, 1.0, 3.0, 3.0]
    assert resident.names() == ["second", "first", "detail"]
