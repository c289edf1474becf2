"""comfymesh.v1.WorkflowService."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from comfymesh import names
from comfymesh.api import fields, paging
from comfymesh.api.access import caller
from comfymesh.api.errors import invalid
from comfymesh.api.workflows.registry import Workflows, version_message
from comfymesh.api.workflows.reviewing import Reviewing
from comfymesh.api.workflows.shelf import Shelf
from comfymesh.v1 import workflow_pb2, workflow_service_pb2_grpc
from comfymesh.v1 import workflow_service_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


class WorkflowService(workflow_service_pb2_grpc.WorkflowServiceServicer):
    """Stores graphs with typed inputs, and looks at them."""

    def __init__(self, stored: Workflows, reviewing: Reviewing, shelf: Shelf) -> None:
        self._stored = stored
        self._reviewing = reviewing
        self._shelf = shelf

    async def CreateWorkflow(self, request: pb.CreateWorkflowRequest, context: Context) -> pb.CreateWorkflowResponse:
        """See the proto."""
        return pb.CreateWorkflowResponse(workflow=await self._stored.create(caller.tenant(), request))

    async def GetWorkflow(self, request: pb.GetWorkflowRequest, context: Context) -> pb.GetWorkflowResponse:
        """See the proto."""
        return pb.GetWorkflowResponse(workflow=await self._stored.get(caller.tenant(), request.name))

    async def ListWorkflows(self, request: pb.ListWorkflowsRequest, context: Context) -> pb.ListWorkflowsResponse:
        """See the proto."""
        wrong = [*paging.violations(request.page_size), *fields.filter_violations((), request.labels, "")]
        if wrong:
            raise invalid(wrong)
        after = str(paging.read_token(request, request.page_token, str)[0]) if request.page_token else ""
        wanted = _wanted(request)
        found, end = self._shelf.page(caller.tenant(), wanted, paging.size(request.page_size), after)
        return pb.ListWorkflowsResponse(
            workflows=found, next_page_token=paging.make_token(request, [end]) if end else ""
        )

    async def UpdateWorkflow(self, request: pb.UpdateWorkflowRequest, context: Context) -> pb.UpdateWorkflowResponse:
        """See the proto."""
        return pb.UpdateWorkflowResponse(workflow=await self._stored.update(caller.tenant(), request))

    async def DeleteWorkflow(self, request: pb.DeleteWorkflowRequest, context: Context) -> pb.DeleteWorkflowResponse:
        """See the proto."""
        await self._stored.delete(caller.tenant(), request.name, request.etag)
        return pb.DeleteWorkflowResponse()

    async def GetWorkflowVersion(
        self, request: pb.GetWorkflowVersionRequest, context: Context
    ) -> pb.GetWorkflowVersionResponse:
        """See the proto."""
        workflow_id, _ = names.parse_workflow_version(request.name)
        version, content = await self._stored.version(caller.tenant(), request.name)
        return pb.GetWorkflowVersionResponse(version=version_message(names.workflow(workflow_id), version, content))

    async def DeleteWorkflowVersion(
        self, request: pb.DeleteWorkflowVersionRequest, context: Context
    ) -> pb.DeleteWorkflowVersionResponse:
        """See the proto."""
        await self._stored.delete_version(caller.tenant(), request.name)
        return pb.DeleteWorkflowVersionResponse()

    async def ListWorkflowVersions(
        self, request: pb.ListWorkflowVersionsRequest, context: Context
    ) -> pb.ListWorkflowVersionsResponse:
        """See the proto."""
        if wrong := paging.violations(request.page_size):
            raise invalid(wrong)
        before = int(paging.read_token(request, request.page_token, int)[0]) if request.page_token else 0
        versions = await self._stored.versions(caller.tenant(), request.parent)
        found = [version for version in versions if not before or version.number < before]
        size = paging.size(request.page_size)
        token = paging.make_token(request, [found[size - 1].number]) if len(found) > size else ""
        return pb.ListWorkflowVersionsResponse(versions=found[:size], next_page_token=token)

    async def DeriveInputs(self, request: pb.DeriveInputsRequest, context: Context) -> pb.DeriveInputsResponse:
        """See the proto."""
        return pb.DeriveInputsResponse(inputs=self._reviewing.derive(request.graph_json))

    async def ValidateWorkflow(
        self, request: pb.ValidateWorkflowRequest, context: Context
    ) -> pb.ValidateWorkflowResponse:
        """See the proto."""
        return await self._reviewing.validate(caller.tenant(), request)


def _wanted(request: pb.ListWorkflowsRequest) -> Callable[[workflow_pb2.Workflow], bool]:
    text, labels = request.text.casefold(), dict(request.labels)

    def wanted(workflow: workflow_pb2.Workflow) -> bool:
        if workflow.HasField("delete_time") and not request.show_deleted:
            return False
        told = (names.parse_workflow(workflow.name), workflow.display_name, workflow.description)
        return any(text in each.casefold() for each in told) and labels.items() <= dict(workflow.labels).items()

    return wanted
