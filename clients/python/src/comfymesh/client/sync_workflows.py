"""Workflows for programs without asyncio. Methods are those of `AsyncWorkflows`, without ``await``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from comfymesh.client.graphs import Graph
    from comfymesh.client.loop_thread import LoopThread
    from comfymesh.client.results import Result
    from comfymesh.client.uploads import InputValue
    from comfymesh.client.workflow_models import Workflow, WorkflowInput, WorkflowReview, WorkflowVersion
    from comfymesh.client.workflows import AsyncWorkflows, WorkflowChanges


class Workflows:
    """The stored workflows of a tenant; `Client.workflows`."""

    def __init__(self, workflows: AsyncWorkflows, thread: LoopThread) -> None:
        self._workflows = workflows
        self._thread = thread

    def run(self, workflow: str, /, **inputs: InputValue) -> Result:
        """Runs a workflow to its end and brings what it made. See `AsyncWorkflows.run`."""
        return self._thread.call(self._workflows.run(workflow, **inputs))

    def create(
        self,
        workflow: str,
        graph: Graph,
        *,
        inputs: Sequence[WorkflowInput] | None = None,
        display_name: str = "",
        description: str = "",
        labels: Mapping[str, str] | None = None,
        validate_only: bool = False,
    ) -> Workflow:
        """Stores a workflow. See `AsyncWorkflows.create`."""
        return self._thread.call(
            self._workflows.create(
                workflow,
                graph,
                inputs=inputs,
                display_name=display_name,
                description=description,
                labels=labels,
                validate_only=validate_only,
            )
        )

    def get(self, workflow: str) -> Workflow:
        """A workflow with its default version. See `AsyncWorkflows.get`."""
        return self._thread.call(self._workflows.get(workflow))

    def list(
        self,
        *,
        labels: Mapping[str, str] | None = None,
        text: str = "",
        show_deleted: bool = False,
        page_size: int = 0,
    ) -> Iterator[Workflow]:
        """Workflows by name. See `AsyncWorkflows.list`."""
        return self._thread.iterate(
            self._workflows.list(labels=labels, text=text, show_deleted=show_deleted, page_size=page_size)
        )

    def update(
        self, workflow: str, *, etag: str = "", validate_only: bool = False, **changes: Unpack[WorkflowChanges]
    ) -> Workflow:
        """Changes a workflow. See `AsyncWorkflows.update`."""
        return self._thread.call(self._workflows.update(workflow, etag=etag, validate_only=validate_only, **changes))

    def delete(self, workflow: str, *, etag: str = "") -> None:
        """Deletes a workflow. See `AsyncWorkflows.delete`."""
        self._thread.call(self._workflows.delete(workflow, etag=etag))

    def delete_version(self, version: str) -> None:
        """Deletes a version that nothing needs. See `AsyncWorkflows.delete_version`."""
        self._thread.call(self._workflows.delete_version(version))

    def versions(self, workflow: str) -> Iterator[WorkflowVersion]:
        """The versions of a workflow, newest first. See `AsyncWorkflows.versions`."""
        return self._thread.iterate(self._workflows.versions(workflow))

    def version(self, version: str) -> WorkflowVersion:
        """A version with its graph and inputs. See `AsyncWorkflows.version`."""
        return self._thread.call(self._workflows.version(version))

    def derive(self, graph: Graph) -> Sequence[WorkflowInput]:
        """Inputs that a graph could have. See `AsyncWorkflows.derive`."""
        return self._thread.call(self._workflows.derive(graph))

    def validate(self, workflow: str, given: Mapping[str, InputValue] | None = None) -> WorkflowReview:
        """Everything that is wrong with a stored workflow. See `AsyncWorkflows.validate`."""
        return self._thread.call(self._workflows.validate(workflow, given))

    def validate_graph(
        self,
        graph: Graph,
        inputs: Sequence[WorkflowInput] = (),
        given: Mapping[str, InputValue] | None = None,
    ) -> WorkflowReview:
        """Everything that is wrong with a graph that is not stored. See `AsyncWorkflows.validate_graph`."""
        return self._thread.call(self._workflows.validate_graph(graph, inputs, given))
