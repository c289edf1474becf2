"""Free ports, as the programs of a mesh are given them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Self

import pytest

from comfymesh.stack import mesh


class System:
    """Gives out ports as the kernel may: one that nobody uses yet, though it was given out before."""

    def __init__(self, ports: Iterator[int]) -> None:
        self._ports = ports

    def socket(self) -> System:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def bind(self, _: object) -> None: ...

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", next(self._ports)


def test_a_port_is_not_handed_out_to_two_programs_of_a_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh, "socket", System(chain(repeat(70001, 3), [70002], repeat(70001, 2), [70003])))
    assert [mesh.free_port() for _ in range(3)] == [70001, 70002, 70003]
