"""Giving up a start, and ending with its parts."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

import pytest
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from comfymesh.runtime.background import Background
from comfymesh.runtime.service import ServiceFailedError, StoppedError, first, problems, unless_stopped, until
from comfymesh.runtime.settings import ListenAddress, ServiceSettings


async def test_a_start_that_succeeds_answers() -> None:
    async def start() -> int:
        return 5

    assert await unless_stopped(asyncio.Event(), start()) == 5


async def test_a_start_that_fails_says_why() -> None:
    async def start() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await unless_stopped(asyncio.Event(), start())


async def test_a_start_is_given_up_when_the_stop_is_asked_for() -> None:
    stop = asyncio.Event()
    stop.set()
    with pytest.raises(StoppedError):
        await unless_stopped(stop, asyncio.Event().wait())


async def test_a_start_that_swallows_a_cancellation_is_given_up_all_the_same() -> None:
    swallowed = asyncio.Event()

    async def start() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        swallowed.set()
        await asyncio.Event().wait()

    stop = asyncio.Event()
    giving_up = asyncio.ensure_future(unless_stopped(stop, start()))
    await asyncio.sleep(0)
    stop.set()
    with pytest.raises(StoppedError):
        await giving_up
    assert swallowed.is_set()


async def test_a_part_that_fails_stops_the_service() -> None:
    async def part() -> None:
        raise RuntimeError("a defect")

    async with Background() as background:
        background.spawn(part(), "part")
        with pytest.raises(ServiceFailedError):
            await until(asyncio.Event(), background.failed)


async def test_a_start_that_waits_for_a_part_ends_when_it_is_ready() -> None:
    ready = asyncio.Event()
    waiting = asyncio.ensure_future(first(ready, asyncio.Event(), asyncio.Event()))
    await asyncio.sleep(0)
    ready.set()
    await waiting


async def test_a_start_that_waits_for_a_part_that_fails_fails() -> None:
    async def part() -> None:
        raise RuntimeError("a defect")

    async with Background() as background:
        background.spawn(part(), "part")
        with pytest.raises(ServiceFailedError, match="while it started"):
            await first(asyncio.Event(), asyncio.Event(), background.failed)


async def test_a_start_that_waits_for_a_part_is_given_up_when_the_stop_is_asked_for() -> None:
    stop = asyncio.Event()
    stop.set()
    with pytest.raises(StoppedError):
        await first(asyncio.Event(), stop, asyncio.Event())


async def test_all_parts_end_together() -> None:
    async with Background() as background:
        parts = [background.spawn(asyncio.Event().wait(), f"part {n}") for n in range(3)]
        await asyncio.sleep(0)
    assert all(part.cancelled() for part in parts)
    assert not background.failed.is_set()


class Settings(ServiceSettings):
    """Of each kind one."""

    workers: int = 1
    listen: ListenAddress = "127.0.0.1:0"
    password: SecretStr = SecretStr("a secret of twenty characters")
    weights: dict[str, float] = Field(default_factory=dict)

    @field_validator("password")
    @classmethod
    def _is_long(cls, value: SecretStr) -> SecretStr:
        if len(value) < 20:
            raise ValueError("must have 20 characters")
        return value


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("WORKERS", "x", "Input should be a valid integer, unable to parse string as an integer, not 'x'"),
        (
            "WORKERS",
            "7" * 70 + "x",
            f"Input should be a valid integer, unable to parse string as an integer, not '{60 * '7'}'",
        ),
        ("LISTEN", "here", "must be host:port, such as 127.0.0.1:7700, not 'here'"),
        ("LISTEN", "here:99999", "must be host:port, such as 127.0.0.1:7700, not 'here:99999'"),
        ("PASSWORD", "hunter2", "must have 20 characters"),
        (
            "NATS_URL",
            "//user:hunter2",
            "must be URLs such as nats://HOST:4222 or nats://USER:PASSWORD@HOST:4222, with commas between",
        ),
    ],
)
def test_a_setting_that_will_not_do_is_told_with_its_value_unless_that_may_be_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(f"COMFYMESH_{name}", value)
    with pytest.raises(ValidationError) as error:
        Settings()
    (line,) = problems(error.value, Settings)
    assert line == f"COMFYMESH_{name}: {told}"


def test_what_does_not_fit_together_is_told_without_a_variable() -> None:
    class Together(ServiceSettings):
        @model_validator(mode="after")
        def _fit(self) -> Self:
            raise ValueError("two pools have one name: p")

    with pytest.raises(ValidationError) as error:
        Together()
    assert problems(error.value, Together) == ["two pools have one name: p"]


def test_of_a_part_of_a_larger_value_it_is_told_where_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYMESH_WEIGHTS", '{"a": "hunter2"}')
    with pytest.raises(ValidationError) as error:
        Settings()
    (line,) = problems(error.value, Settings)
    assert line.startswith("COMFYMESH_WEIGHTS[a]: Input should be a valid number")
    assert "hunter2" not in line
