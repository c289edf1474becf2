"""Somebody who closes a node and opens it again, and looks what each api shows of that."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable

from comfymesh.testkit.history import Shown
from comfymesh.testkit.meshapi import CallFailedError
from comfymesh.testkit.recording import Recorder
from comfymesh.testkit.simulation.endpoint import SimulatedApi
from comfymesh.testkit.simulation.lives import Life
from comfymesh.testkit.simulation.scenario import Rounds
from comfymesh.v1 import node_pb2

_LOOK_SECONDS = 0.3
_LAST_SECONDS = 3.5
"""By then every stream has told what was wished."""


class Operator:
    """Goes through rounds. Wishes count from one; the odd ones are to close a node, and the even ones to open it.

    Args:
        api: The mesh.
        recorder: Takes down what is shown.
        rng: Decides when to look.
    """

    def __init__(self, api: SimulatedApi, recorder: Recorder, rng: random.Random) -> None:
        self._api = api
        self._recorder = recorder
        self._rng = rng
        self._made = 0

    async def go(self, rounds: Rounds) -> None:
        """Do all of it; in the end the node is open."""
        await asyncio.sleep(rounds.at)
        for closed, opened in rounds.waits:
            await self._wish(rounds.node, closing=True)
            await self._look(rounds.node, closed)
            await self._wish(rounds.node, closing=False)
            await self._look(rounds.node, opened)
        while not await self._wish(rounds.node, closing=False):  # noqa: ASYNC110  # the mesh is asked
            await asyncio.sleep(_LOOK_SECONDS)
        await self._look(rounds.node, _LAST_SECONDS)

    async def _wish(self, node: str, *, closing: bool) -> bool:
        """Whether it was answered. Where it was not, it may hold all the same."""
        self._made += 1 if self._made % 2 != closing else 2
        answer = self._api.cordon(node, str(self._made)) if closing else self._api.uncordon(node)
        return await self._note(node, answer, self._made)

    async def _look(self, node: str, seconds: float) -> None:
        """Look again and again, for so long."""
        until = self._recorder.now + seconds
        while self._recorder.now < until:
            await asyncio.sleep(self._rng.uniform(0.0, _LOOK_SECONDS))
            await self._note(node, self._api.node(node))

    async def _note(self, node: str, answer: Awaitable[tuple[Life, node_pb2.Node]], wish: int = 0) -> bool:
        """Take down an answer, to that wish or to a look; whether there was one."""
        asked = self._recorder.now
        try:
            life, told = await answer
        except CallFailedError:
            return False
        now = self._recorder.now
        began = now - (asyncio.get_running_loop().time() - life.began)
        least, most = self._range(told)
        self._recorder.note(Shown(now, asked, f"{life.name} of {began:.3f} s", began, node, wish or least, most))
        return True

    def _range(self, told: node_pb2.Node) -> tuple[int, int]:
        """The first and the last of the wishes that a node may show."""
        if told.wanted_availability == node_pb2.Node.AVAILABILITY_OPEN:
            return 0, self._made - self._made % 2
        return int(told.wanted_reason), int(told.wanted_reason)
