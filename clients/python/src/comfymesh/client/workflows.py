"""Stored workflows: made, changed, looked at and run."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, TypeVar, Unpack

from comfymesh.client import uploads
from comfymesh.client.graphs import graph_text
from comfymesh.client.inputs import inputs_to_proto as task_inputs_to_proto
from comfymesh.client.paging import Pages
from comfymesh.client.workflow_convert import (
    inputs_from_proto,
    inputs_to_proto,
    review_from_proto,
    version_from_proto,
    workflow_from_proto,
    workflow_name,
)
from comfymesh.client.workflow_models import Workflow, WorkflowRef
from comfymesh.v1 import workflow_pb2
from comfymesh.v1 import workflow_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
    from typing import Protocol

    from comfymesh.client.graphs import Graph
    from comfymesh.client.results import Result
    from comfymesh.client.retries import Server
    from comfymesh.client.transport import Stubs, Transport
    from comfymesh.client.uploads import InputValue
    from comfymesh.client.workflow_models import WorkflowInput, WorkflowReview, WorkflowVersion

    class Run(Protocol):
        """`AsyncClient.run`."""

        def __call__(self, graph: WorkflowRef, inputs: Mapping[str, InputValue], /) -> Awaitable[Result]:
            """Runs it."""


A = TypeVar("A")


class WorkflowChanges(TypedDict, total=False):
    """What of a workflow is to change. A new graph, or new inputs, make a new version.

    Attributes:
        graph: The graph in API format.
        inputs: What callers give.
        display_name: Name for people, at most 128 characters.
        description: What it makes and how to use it, at most 4096 characters.
        labels: What is written on it.
        default_version: The version that runs where a task names none; 0 for the newest.
    """

    graph: Graph
    inputs: Sequence[WorkflowInput]
    display_name: str
    description: str
    labels: Mapping[str, str]
    default_version: int


class AsyncWorkflows:
    """The stored workflows of a tenant; `AsyncClient.workflows`.

    Wherever a name is asked for, ``portrait`` will do for ``workflows/portrait``, and where a version can be named,
    ``portrait@3`` for ``workflows/portrait/versions/3``.

    Example:
        >>> await client.workflows.create("portrait", Path("graph.json"))
        >>> result = await client.workflows.run("portrait", prompt="a lighthouse at dawn")
    """

    def __init__(self, transport: Transport, server: Server, timeout: float, run: Run) -> None:
        self._transport = transport
        self._server = server
        self._timeout = timeout
        self._run = run

    async def run(self, workflow: str, /, **inputs: InputValue) -> Result:
        """Runs a workflow to its end and brings what it made.

        For more, such as progress or a priority: `AsyncClient.run` with a `WorkflowRef` in the place of the graph.

        Args:
            workflow: Its name.
            **inputs: Its inputs. Paths and bytes are uploaded.

        Raises:
            TaskFailed: The task did not succeed.
            ComfyMeshError: The task could not be created or followed.
        """
        return await self._run(WorkflowRef(workflow), inputs)

    async def create(
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
        """Stores a workflow. Doing it again with the same content is fine.

        Args:
            workflow: Its name, or the last part of that.
            graph: The graph in API format: a mapping, its JSON text, or the path of its file.
            inputs: What callers give; default: what `derive` proposes.
            display_name: Name for people, at most 128 characters.
            description: What it makes and how to use it, at most 4096 characters.
            labels: What to write on it.
            validate_only: Check everything, store nothing.

        Raises:
            Conflict: There is one of that name with other content.
            InvalidRequest: The graph or an input is wrong.
            ComfyMeshError: The call failed.
        """
        text = graph_text(graph)
        given = await self._derived(text) if inputs is None else inputs_to_proto(inputs)
        made = workflow_pb2.Workflow(
            graph_json=text, inputs=given, display_name=display_name, description=description, labels=labels
        )
        request = pb.CreateWorkflowRequest(
            workflow=made, workflow_id=workflow_name(workflow).removeprefix("workflows/"), validate_only=validate_only
        )
        answer = await self._call(lambda stubs, seconds: stubs.workflows.CreateWorkflow(request, timeout=seconds))
        return workflow_from_proto(answer.workflow)

    async def get(self, workflow: str) -> Workflow:
        """A workflow with the graph and inputs of its default version, never stale.

        Raises:
            NotFound: There is none of that name.
            ComfyMeshError: The call failed.
        """
        request = pb.GetWorkflowRequest(name=workflow_name(workflow))
        answer = await self._call(lambda stubs, seconds: stubs.workflows.GetWorkflow(request, timeout=seconds))
        return workflow_from_proto(answer.workflow)

    async def list(
        self,
        *,
        labels: Mapping[str, str] | None = None,
        text: str = "",
        show_deleted: bool = False,
        page_size: int = 0,
    ) -> AsyncGenerator[Workflow]:
        """Workflows by name, without graphs and inputs; pages are fetched as they are needed.

        Args:
            labels: Only those that carry all these labels.
            text: Only those whose name, display name or description holds this.
            show_deleted: Deleted ones as well.
            page_size: How many to fetch at a time; 0 lets the server decide.

        Raises:
            ComfyMeshError: The call failed.
        """
        request = pb.ListWorkflowsRequest(labels=labels, text=text, show_deleted=show_deleted, page_size=page_size)
        pages = Pages(
            request, lambda: self._call(lambda stubs, seconds: stubs.workflows.ListWorkflows(request, timeout=seconds))
        )
        async for page in pages:
            for message in page.workflows:
                yield workflow_from_proto(message)

    async def update(
        self, workflow: str, *, etag: str = "", validate_only: bool = False, **changes: Unpack[WorkflowChanges]
    ) -> Workflow:
        """Changes a workflow. Versions that are there stay as they are.

        Args:
            workflow: Its name.
            etag: `Workflow.etag` of what the change builds on; default: whichever is there.
            validate_only: Check everything, change nothing.
            **changes: What to change.

        Raises:
            NotFound: There is none of that name.
            Conflict: It has changed since the etag was read.
            InvalidRequest: The change is not valid.
            ComfyMeshError: The call failed.
        """
        wanted = workflow_pb2.Workflow(
            name=workflow_name(workflow),
            etag=etag,
            graph_json=graph_text(changes["graph"]) if "graph" in changes else "",
            inputs=inputs_to_proto(changes.get("inputs", ())),
            display_name=changes.get("display_name", ""),
            description=changes.get("description", ""),
            labels=changes.get("labels", {}),
            default_version=changes.get("default_version", 0),
        )
        request = pb.UpdateWorkflowRequest(workflow=wanted, validate_only=validate_only)
        request.update_mask.paths.extend("graph_json" if change == "graph" else change for change in changes)
        answer = await self._call(lambda stubs, seconds: stubs.workflows.UpdateWorkflow(request, timeout=seconds))
        return workflow_from_proto(answer.workflow)

    async def delete(self, workflow: str, *, etag: str = "") -> None:
        """Deletes a workflow. Tasks that were made of it go on. Doing it again is fine.

        Args:
            workflow: Its name.
            etag: `Workflow.etag` of what is to be deleted; default: whichever is there.

        Raises:
            NotFound: There is none of that name.
            Conflict: It has changed since the etag was read.
            ComfyMeshError: The call failed.
        """
        request = pb.DeleteWorkflowRequest(name=workflow_name(workflow), etag=etag)
        await self._call(lambda stubs, seconds: stubs.workflows.DeleteWorkflow(request, timeout=seconds))

    async def delete_version(self, version: str) -> None:
        """Deletes a version that is not the default one and that no task was made of. Doing it again is fine.

        Args:
            version: Its name, ``workflows/{workflow}/versions/{number}`` or ``{workflow}@{number}``.

        Raises:
            NotFound: There never was one of that name.
            Conflict: It is needed; the reason is WORKFLOW_VERSION_IN_USE.
            ComfyMeshError: The call failed.
        """
        request = pb.DeleteWorkflowVersionRequest(name=workflow_name(version))
        await self._call(lambda stubs, seconds: stubs.workflows.DeleteWorkflowVersion(request, timeout=seconds))

    async def versions(self, workflow: str) -> AsyncGenerator[WorkflowVersion]:
        """The versions of a workflow, newest first, without graphs and inputs.

        Raises:
            NotFound: There is no such workflow.
            ComfyMeshError: The call failed.
        """
        request = pb.ListWorkflowVersionsRequest(parent=workflow_name(workflow))
        pages = Pages(
            request,
            lambda: self._call(lambda stubs, seconds: stubs.workflows.ListWorkflowVersions(request, timeout=seconds)),
        )
        async for page in pages:
            for message in page.versions:
                yield version_from_proto(message)

    async def version(self, version: str) -> WorkflowVersion:
        """A version with its graph and inputs.

        Args:
            version: ``portrait@3``, or ``workflows/portrait/versions/3``.

        Raises:
            NotFound: There is none of that name.
            ComfyMeshError: The call failed.
        """
        request = pb.GetWorkflowVersionRequest(name=workflow_name(version))
        answer = await self._call(lambda stubs, seconds: stubs.workflows.GetWorkflowVersion(request, timeout=seconds))
        return version_from_proto(answer.version)

    async def derive(self, graph: Graph) -> Sequence[WorkflowInput]:
        """Inputs that a graph could have, by what the classes of its nodes say of theirs.

        Raises:
            InvalidRequest: The graph can't be read.
            ComfyMeshError: The call failed.
        """
        return inputs_from_proto(await self._derived(graph_text(graph)))

    async def validate(self, workflow: str, given: Mapping[str, InputValue] | None = None) -> WorkflowReview:
        """Everything that is wrong with a stored workflow, as the fleet is now.

        Args:
            workflow: Its name, or that of a version.
            given: What a task would give. Paths and bytes are uploaded.

        Raises:
            NotFound: There is none of that name.
            ComfyMeshError: The call failed.
        """
        return await self._review(pb.ValidateWorkflowRequest(name=workflow_name(workflow)), given)

    async def validate_graph(
        self,
        graph: Graph,
        inputs: Sequence[WorkflowInput] = (),
        given: Mapping[str, InputValue] | None = None,
    ) -> WorkflowReview:
        """Everything that is wrong with a graph that is not stored, as the fleet is now.

        Args:
            graph: The graph in API format: a mapping, its JSON text, or the path of its file.
            inputs: The inputs that it shall have.
            given: What a task would give. Paths and bytes are uploaded.

        Raises:
            InvalidRequest: The graph can't be read.
            ComfyMeshError: The call failed.
        """
        subject = workflow_pb2.Workflow(graph_json=graph_text(graph), inputs=inputs_to_proto(inputs))
        return await self._review(pb.ValidateWorkflowRequest(workflow=subject), given)

    async def _review(
        self, request: pb.ValidateWorkflowRequest, given: Mapping[str, InputValue] | None
    ) -> WorkflowReview:
        ready = await uploads.upload_inputs(uploads.Wire.over(self._transport), self._server, given or {})
        for name, value in task_inputs_to_proto(ready).items():
            request.inputs[name].CopyFrom(value)
        answer = await self._call(lambda stubs, seconds: stubs.workflows.ValidateWorkflow(request, timeout=seconds))
        return review_from_proto(answer)

    async def _derived(self, text: str) -> Sequence[workflow_pb2.WorkflowInput]:
        request = pb.DeriveInputsRequest(graph_json=text)
        answer = await self._call(lambda stubs, seconds: stubs.workflows.DeriveInputs(request, timeout=seconds))
        return list(answer.inputs)

    async def _call(self, start: Callable[[Stubs, float], Awaitable[A]]) -> A:
        return await self._server.retry(
            lambda seconds: self._transport.call(lambda stubs: start(stubs, seconds)), timeout=self._timeout
        )
