"""Finds out whether another agent runs under the same node name, and then leaves it to that."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from uuid import uuid4

from google.protobuf.message import DecodeError

from comfymesh.agent.comfyui.protocol import clean
from comfymesh.bus import subjects
from comfymesh.bus.port import Bus, BusUnavailableError, Message
from comfymesh.runtime.background import Background
from comfymesh.wire.v1 import node_namesake_pb2

logger = logging.getLogger(__name__)

_HELLO_SECONDS = 10.0
_MAX_HOST = 128


class Namesakes:
    """Says hello to whoever has this node's name. Whoever was there before answers, and the one that came later ends.

    Two agents of one name would take each other's tasks for lost ones, again and again. An answer names the life that
    it is for, so that nothing from an earlier life of this agent is taken for one.

    Args:
        bus: The bus.
        node: This node.
        failed: Set when another agent was here before.
    """

    def __init__(self, bus: Bus, node: str, failed: asyncio.Event) -> None:
        self._bus = bus
        self._node = node
        self._failed = failed
        self._life = uuid4().hex
        self._began = time.monotonic()
        self._known: set[str] = set()

    async def run(self, background: Background) -> None:
        """Say hello now and then, for ever: who meets after a while has been cut off."""
        subscription = await self._bus.subscribe(subjects.namesake(self._node), self._taking(background))
        try:
            while True:
                await self._say("")
                await asyncio.sleep(_HELLO_SECONDS)
        finally:
            await subscription.close()

    def _taking(self, background: Background) -> Callable[[Message], None]:
        def take(message: Message) -> None:
            try:
                told = node_namesake_pb2.NodeNamesake.FromString(message.data)
            except DecodeError as error:
                logger.warning("what another agent says can't be read: %s", error)
                return
            if told.life == self._life:
                return
            if told.to == self._life:
                self._meet(told)
            elif not told.to:
                background.spawn(self._say(told.life), "answer to another agent")

        return take

    def _meet(self, other: node_namesake_pb2.NodeNamesake) -> None:
        """Both are answered in time, and come to the same."""
        host, node = clean(other.host, _MAX_HOST), self._node
        fields = {"action": "node_name_taken", "host": host}
        if (other.age_seconds, other.life) > (self._age, self._life):
            words = "another agent, on %s, is node %s already, and this one ends; set another COMFYMESH_AGENT_NODE"
            logger.error(words, host, node, extra=fields)
            self._failed.set()
        elif other.life not in self._known:
            self._known.add(other.life)
            logger.error("another agent, on %s, wants to be node %s too, and is to end", host, node, extra=fields)

    @property
    def _age(self) -> float:
        return time.monotonic() - self._began

    async def _say(self, to: str) -> None:
        told = node_namesake_pb2.NodeNamesake(life=self._life, to=to, age_seconds=self._age, host=socket.gethostname())
        with contextlib.suppress(BusUnavailableError):
            await self._bus.publish(subjects.namesake(self._node), told.SerializeToString())
