"""What `run` returns: the task and its artifacts, bytes included."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from comfymesh.client.files import save

if TYPE_CHECKING:
    from comfymesh.client.models import LoadedArtifact, Task


@dataclass(frozen=True, slots=True)
class Result:
    """A task that succeeded.

    Attributes:
        task: The task in its final state.
        artifacts: Its artifacts with their bytes, in the order of graph nodes.
    """

    task: Task
    artifacts: tuple[LoadedArtifact, ...]

    def save(self, directory: str | Path = "out") -> list[Path]:
        """Writes the artifacts into a directory.

        A file that holds the same bytes already is left alone; one that holds others is never overwritten, the new
        one gets a number instead.

        Args:
            directory: Where; made when it does not exist.

        Returns:
            Path of each artifact, in order.

        Raises:
            OSError: A file can't be written.
        """
        return [save(artifact.data, Path(directory), artifact.filename) for artifact in self.artifacts]

    def saved(self, directory: str | Path) -> Result:
        """The same result after `save`, with the path in each artifact.

        Raises:
            OSError: A file can't be written.
        """
        paths = self.save(directory)
        placed = zip(self.artifacts, paths, strict=True)
        return replace(self, artifacts=tuple(replace(artifact, path=path) for artifact, path in placed))
