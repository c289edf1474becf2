"""One run of one graph node: what a node class may ask of the instance."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from PIL import Image

from comfymesh.emulator.faults import Fault, Faults
from comfymesh.emulator.folders import Folders
from comfymesh.emulator.models import ModelFiles, ResidentModels
from comfymesh.emulator.settings import Settings
from comfymesh.graphs import JsonValue


class InterruptedRunError(Exception):
    """The prompt was interrupted."""


class WorkerEndError(BaseException):
    """The worker thread ends here and now: the instance stops or crashed, or a fault asks for it."""


@dataclass(slots=True)
class Instance:
    """The parts of an instance that nodes use.

    Attributes:
        settings: Settings.
        folders: Folders.
        faults: Faults.
        files: Model files.
        resident: Loaded models.
        crash: Ends the instance at once.
        stopping: Set when the instance stops.
        interrupted: Set when the running prompt shall stop.
        leaked: What prompts left behind.
    """

    settings: Settings
    folders: Folders
    faults: Faults
    files: ModelFiles
    resident: ResidentModels
    crash: Callable[[int], None]
    stopping: threading.Event
    interrupted: threading.Event = field(default_factory=threading.Event)
    leaked: list[bytes] = field(default_factory=list)

    def leak(self) -> None:
        """Holds on to some memory, if a fault wants it."""
        mebibytes = self.faults.value(Fault.MEMORY_GROWTH)
        if mebibytes is not None:
            self.leaked.append(os.urandom(1024) * int(1024 * mebibytes))

    def check_interrupted(self) -> None:
        """Does nothing, unless the running prompt shall stop.

        Raises:
            InterruptedRunError: It shall; only the first who asks is told.
        """
        if self.interrupted.is_set() and not self.faults.is_on(Fault.IGNORED_INTERRUPT):
            self.interrupted.clear()
            raise InterruptedRunError

    def sleep(self, seconds: float) -> None:
        """Waits; nothing but the end of the instance cuts it short.

        Raises:
            WorkerEndError: The instance stops.
        """
        if self.stopping.wait(seconds) if seconds > 0 else self.stopping.is_set():
            raise WorkerEndError


@dataclass(slots=True)
class NodeRun:
    """What one running graph node sees of its surroundings.

    Attributes:
        instance: The instance.
        node_id: The graph node.
        graph: The whole graph as an object, for metadata.
        extra_pnginfo: What the client wants written into pictures.
        preview: Whether previews are wanted.
        report: Takes progress: value, maximum, preview. Raises InterruptedRunError when the prompt shall stop.
        show_text: Takes a line of text for the client.
    """

    instance: Instance
    node_id: str
    graph: Mapping[str, JsonValue]
    extra_pnginfo: Mapping[str, JsonValue]
    preview: bool
    report: Callable[[int, int, Image.Image | None], None]
    show_text: Callable[[str], None]
