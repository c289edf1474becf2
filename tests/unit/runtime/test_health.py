"""When a service is well, and what the file and the program say of it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from comfymesh.runtime import health, health_file
from comfymesh.runtime.health import Health, Shown
from comfymesh.runtime.health_check import troubles
from comfymesh.testkit.clock import ManualClock
from comfymesh.testkit.waiting import until

PARTS = {"lease": 10.0, "storing": 30.0}
CHECK = (sys.executable, "-m", "comfymesh.runtime.health_check")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_a_service_is_unwell_until_each_part_has_worked(clock: ManualClock) -> None:
    how = Health(clock)
    assert [*how.troubles(PARTS)] == ["lease: has not worked yet", "storing: has not worked yet"]
    how.well("lease")
    assert [*how.troubles(PARTS)] == ["storing: has not worked yet"]
    how.well("storing")
    assert not [*how.troubles(PARTS)]


def test_each_part_may_be_silent_for_its_own_time(clock: ManualClock) -> None:
    how = Health(clock)
    how.well("lease")
    how.well("storing")
    clock.advance(10)
    assert not [*how.troubles(PARTS)]
    clock.advance(1)
    assert [*how.troubles(PARTS)] == ["lease: has not worked for 11 s"]
    how.well("lease")
    assert not [*how.troubles(PARTS)]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (100.0, ()),
        (110.0, ()),
        (111.0, ("the service has not said how it is for 11 s",)),
        (5.0, ("another boot wrote it",)),
    ],
)
def test_a_file_counts_while_it_is_fresh(now: float, said: tuple[str, ...]) -> None:
    assert Shown(100.0, ()).verdict(now) == said


def test_troubles_of_a_fresh_file_are_told() -> None:
    assert Shown(100.0, ("lease: has not worked yet",)).verdict(101.0) == ("lease: has not worked yet",)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    shown = Shown(12.5, ("lease: has not worked yet",))
    health.write(tmp_path / "health", shown)
    assert health.read(tmp_path / "health") == shown
    assert [path.name for path in tmp_path.iterdir()] == ["health"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "1", "[" * 100_000, '{"written": null, "troubles": []}', '{"written": 1}']
)
def test_another_file_is_a_trouble_and_no_crash(tmp_path: Path, text: str) -> None:
    path = tmp_path / "health"
    path.write_text(text)
    (told,) = troubles(path)
    assert told.startswith(f"{path} can't be read: ")


def test_a_missing_file_is_a_trouble(tmp_path: Path) -> None:
    (told,) = troubles(tmp_path / "health")
    assert "the service does not run" in told


async def test_the_file_is_there_from_the_start_and_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "health"
    async with health_file.showing(str(path), {"a part that nobody plays": 1.0}):
        assert troubles(path) == ("a part that nobody plays: has not worked yet",)
    assert not path.exists()


async def test_the_file_is_kept_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_file, "WRITE_SECONDS", 0.001)
    monkeypatch.setattr(health_file, "HEALTH", how := Health())
    path = tmp_path / "health"
    async with health_file.showing(str(path), {"lease": 1000.0}):
        how.well("lease")
        await until(lambda: not troubles(path), "a file without troubles")


async def test_a_service_does_not_write_over_what_another_says_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "health"
    async with health_file.showing(str(path), PARTS):
        said = path.read_bytes()
        with pytest.raises(health_file.HealthFileError, match="another service writes"):
            async with health_file.showing(str(path), {"other": 1.0}):
                pytest.fail("it began")
        assert path.read_bytes() == said, "what the first says is still there"
    async with health_file.showing(str(path), PARTS):
        assert path.exists()


async def test_without_a_path_nothing_is_written() -> None:
    async with health_file.showing("", PARTS):
        pass


async def test_a_place_that_cannot_be_written_ends_the_service_with_its_name(tmp_path: Path) -> None:
    place = tmp_path / "missing" / "health"
    with pytest.raises(health_file.HealthFileError, match="COMFYMESH_HEALTH_FILE") as told:
        async with health_file.showing(str(place), PARTS):
            pytest.fail("it began")
    assert str(place) in str(told.value)
    assert told.value.exit_code == 78


@pytest.mark.parametrize(
    ("shown", "code", "said"),
    [((), 0, "well\n"), (("lease: has not worked yet", "storing: it hangs"), 1, "lease: has not worked yet\nstoring")],
)
def test_the_program_tells_by_its_exit_code(tmp_path: Path, shown: tuple[str, ...], code: int, said: str) -> None:
    path = tmp_path / "health"
    health.write(path, Shown(time.monotonic(), shown))
    done = subprocess.run([*CHECK, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.startswith(said)
    health.write(path, Shown(time.monotonic(), shown))  # Each program may be slow to start, and the file grows old.
    by_setting = subprocess.run(CHECK, env={"COMFYMESH_HEALTH_FILE": str(path)}, check=False, stdout=subprocess.DEVNULL)
    assert by_setting.returncode == code


@pytest.mark.parametrize("arguments", [(), ("--help",), ("a", "b")])
def test_the_program_says_how_it_is_called(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([*CHECK, *arguments], env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: comfymesh-health")
