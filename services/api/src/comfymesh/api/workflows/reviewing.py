"""Looks at graphs without making anything of them: what is wrong as the fleet is now, which inputs there could be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from comfymesh import names, workflows
from comfymesh.api import feasibility, fields, nodes_files
from comfymesh.api.access import allowance
from comfymesh.api.access.directory import Directory
from comfymesh.api.assets import Assets
from comfymesh.api.errors import RefusedError, Violation, invalid
from comfymesh.api.fleet import FleetView
from comfymesh.api.inputs import Inputs
from comfymesh.api.workflows import changes
from comfymesh.api.workflows.registry import Workflows
from comfymesh.api.workflows.store import Content
from comfymesh.graphs import Graph, JsonValue, NodeClass, validate
from comfymesh.names import MalformedNameError
from comfymesh.v1 import task_pb2
from comfymesh.v1.task_pb2 import InputValue
from comfymesh.v1.workflow_pb2 import WorkflowInput, WorkflowViolation
from comfymesh.v1.workflow_service_pb2 import ValidateWorkflowRequest, ValidateWorkflowResponse
from comfymesh.wire.v1 import spec_pb2
from comfymesh.workflows import Binding, Offered

_IN_GRAPH = re.compile(r"task\.graph_json\[(?P<graph_node>.*?)\](?:\.inputs\.(?P<input>.*))?", re.DOTALL)
_IN_INPUTS = re.compile(r"task\.inputs\[(?P<graph_node>.*?)\.(?P<input>.*)\]", re.DOTALL)
_NOT_ALLOWED = "not_allowed"
_MOST_VIOLATIONS = 1000


@dataclass(frozen=True, slots=True)
class Reviewing:
    """Answers what would become of a graph.

    Attributes:
        stored: Workflows that are stored.
        fleet: What there is.
        assets: What inputs may name.
        inputs: Reads those of tasks.
        directory: What tenants may name.
    """

    stored: Workflows
    fleet: FleetView
    assets: Assets
    inputs: Inputs
    directory: Directory

    def derive(self, text: str) -> list[WorkflowInput]:
        """The inputs that a graph could have.

        Raises:
            RefusedError: it can't be read.
        """
        graph = self.stored.graph(text, "graph_json")
        return workflows.derive(graph, self._classes({node.class_type for node in graph.nodes.values()}))

    async def validate(self, tenant: str, request: ValidateWorkflowRequest) -> ValidateWorkflowResponse:
        """Everything that is wrong.

        Raises:
            RefusedError: there is no such workflow, or its graph can't be read.
        """
        content, found = await self._subject(tenant, request)
        graph = self.stored.graph(content.graph_json, "workflow.graph_json")
        specs, wrong = _fitting(content.inputs, graph)
        binding = workflows.bind(specs, request.inputs, complete=False)
        found += [*wrong, *(workflows.input_violation(name, words) for name, words in binding.wrong)]
        found += await self._missing(tenant, binding)
        found += await self._refused_urls(tenant, graph, binding)
        filled = graph.with_inputs({place: _plain(value) for place, value in binding.values.items()})
        files = {place for place, value in binding.values.items() if value.WhichOneof("kind") in {"asset", "url"}}
        found += _located(nodes_files.violations(filled, binding.values, files), filled, binding, "input_invalid")
        found += self._not_allowed(tenant, filled, binding)
        seen = workflows.review(filled, self._offered(), binding.origins)
        every: list[WorkflowViolation] = sorted([*found, *seen.violations], key=lambda violation: violation.severity)
        return ValidateWorkflowResponse(
            violations=every[:_MOST_VIOLATIONS],
            violation_count=len(every),
            runnable_outputs=seen.runnable_outputs,
            dropped_outputs=seen.dropped_outputs,
            able_instance_count=seen.able,
            instance_count=seen.instances,
        )

    async def _subject(self, tenant: str, request: ValidateWorkflowRequest) -> tuple[Content, list[WorkflowViolation]]:
        match request.WhichOneof("subject"):
            case "name":
                return (await self.stored.version(tenant, request.name))[1], []
            case "workflow":
                given = request.workflow
                found = [
                    workflows.input_violation("", f"{each.field}: {each.description}")
                    for each in changes.violations(given)
                ]
                return Content(given.graph_json, tuple(given.inputs)), found
            case _:
                raise invalid([Violation("name", "is required, or workflow: what is to be looked at")])

    def _offered(self) -> list[Offered]:
        """Every catalog of the fleet once."""
        catalogs = {id(offer.catalog): offer.catalog for offer in self.fleet.offers()}
        counts = Counter(id(offer.catalog) for offer in self.fleet.offers())
        return [Offered(catalog, counts[key]) for key, catalog in catalogs.items() if catalog is not None]

    def _classes(self, wanted: Iterable[str]) -> dict[str, NodeClass]:
        offered = [each.catalog.classes for each in self._offered()]
        return {name: classes[name] for name in wanted for classes in offered if name in classes}

    async def _missing(self, tenant: str, binding: Binding) -> list[WorkflowViolation]:
        """Assets that are not there."""
        found = dict[str, WorkflowViolation]()
        for place, value in binding.values.items():
            name = binding.origins[place]
            if value.WhichOneof("kind") == "asset" and name not in found:
                words = await self._complaint(tenant, value.asset)
                if words:
                    found[name] = workflows.input_violation(name, words)
        return list(found.values())

    async def _refused_urls(self, tenant: str, graph: Graph, binding: Binding) -> list[WorkflowViolation]:
        """URLs that are none, or that the operator does not let be fetched."""
        task = task_pb2.Task()
        for (graph_node, name), value in binding.values.items():
            if value.WhichOneof("kind") == "url":
                task.inputs[f"{graph_node}.{name}"].CopyFrom(value)
        wrong = list(fields.input_violations(task))
        if not wrong:
            try:
                await self.inputs.read(task, tenant)
            except RefusedError as error:
                wrong = list(error.violations)
        return _located(wrong, graph, binding, "input_invalid")

    async def _complaint(self, tenant: str, asset: str) -> str:
        try:
            there = await self.assets.find(tenant, names.parse_asset(asset))
        except MalformedNameError as error:
            return str(error)
        return "" if there else f"there is no {asset}; upload it first"

    def _not_allowed(self, tenant: str, graph: Graph, binding: Binding) -> list[WorkflowViolation]:
        owner = self.directory.tenant(tenant)
        offered = self._offered()
        if owner is None or not offered:
            return []
        best = min((validate(graph, each.catalog) for each in offered), key=lambda each: len(each.violations))
        try:
            allowance.check(owner.allowance, graph, feasibility.requirements(best), _urls(binding))
        except RefusedError as error:
            return _located(error.violations, graph, binding, _NOT_ALLOWED)
        return []


def _fitting(
    specs: tuple[WorkflowInput, ...], graph: Graph
) -> tuple[tuple[WorkflowInput, ...], list[WorkflowViolation]]:
    """The inputs that can be bound: all of them, or, where something is wrong, none; and what that is."""
    wrong = workflows.violations(specs, graph)
    found = [workflows.input_violation(_name_at(specs, path), f"workflow.{path}: {words}") for path, words in wrong]
    return (() if found else specs), found


def _name_at(specs: tuple[WorkflowInput, ...], path: str) -> str:
    index = path.partition("[")[2].partition("]")[0]
    return specs[int(index)].name if index.isdigit() else ""


def _urls(binding: Binding) -> list[spec_pb2.UrlBinding]:
    return [
        spec_pb2.UrlBinding(graph_node=graph_node, input=name, url=value.url)
        for (graph_node, name), value in binding.values.items()
        if value.WhichOneof("kind") == "url" and not any(fields.value_violations("url", value))
    ]


def _plain(value: InputValue) -> JsonValue:
    """A value as the graph holds it. The name of a file stands in for what the agent stages."""
    plain: JsonValue = getattr(value, str(value.WhichOneof("kind")))
    return plain


def _located(wrong: Iterable[Violation], graph: Graph, binding: Binding, kind: str) -> list[WorkflowViolation]:
    return [_locate(violation, graph, binding.origins, kind) for violation in wrong]


def _locate(violation: Violation, graph: Graph, origins: Mapping[tuple[str, str], str], kind: str) -> WorkflowViolation:
    """A violation of a field of a task as one of a place in the graph."""
    where = _IN_GRAPH.fullmatch(violation.field) or _IN_INPUTS.fullmatch(violation.field)
    graph_node, name = (where["graph_node"], where["input"] or "") if where else ("", "")
    node = graph.nodes.get(graph_node)
    return WorkflowViolation(
        severity=WorkflowViolation.SEVERITY_ERROR,
        type=kind,
        message=violation.description,
        graph_node=graph_node,
        graph_node_class=node.class_type if node else "",
        input=name,
        workflow_input=origins.get((graph_node, name), ""),
    )
