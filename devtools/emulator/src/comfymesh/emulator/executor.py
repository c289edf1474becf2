"""Runs one prompt: events, cache, errors (ComfyUI protocol notes, sections 9 to 11)."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

from PIL import Image

from comfymesh.emulator.cache import Result, ResultCache, signature, signatures
from comfymesh.emulator.faults import Fault
from comfymesh.emulator.hub import Hub
from comfymesh.emulator.node_run import Instance, InterruptedRunError, NodeRun, WorkerEndError
from comfymesh.emulator.nodes import NODES
from comfymesh.emulator.plan import Plan, PlannedNode, is_link, planned_nodes
from comfymesh.emulator.progress import ProgressBoard
from comfymesh.emulator.prompt_queue import Ending, Prompt
from comfymesh.emulator.raising import raise_as_asked
from comfymesh.emulator.reporting import Reporter
from comfymesh.emulator.values import Blocked, Expansion, Inputs, Outcome
from comfymesh.graphs import JsonValue

_log = logging.getLogger(__name__)
_OOM_TIP = (
    "This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before you might have "
    "accidentally set the batch_size to a large number."
)


@dataclass(slots=True)
class Execution:
    """One prompt while it runs.

    Attributes:
        prompt: The prompt.
        instance: The instance.
        hub: Takes the events.
        cache: Results of earlier prompts.
    """

    prompt: Prompt
    instance: Instance
    hub: Hub
    cache: ResultCache
    nodes: dict[str, PlannedNode] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)
    executed: list[str] = field(default_factory=list)
    messages: list[JsonValue] = field(default_factory=list)
    expanding: dict[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    shown: dict[str, Result] = field(default_factory=dict)
    current: PlannedNode | None = None

    def run(self) -> Ending:
        """Runs the prompt to its end, good or bad.

        Raises:
            WorkerEndError: The worker thread shall end; the prompt stays the running one for ever.
        """
        self.nodes = planned_nodes(self.prompt.graph, _input_names)
        self._message("execution_start", {})
        if len(self.nodes) < len(self.prompt.graph):
            # Seen on 0.33.0: a graph node without inputs in a refused part escapes the executor and ends the worker.
            raise WorkerEndError
        completed = self._run_nodes()
        kept = {} if self.instance.faults.is_on(Fault.EMPTY_OUTPUTS) else self.shown
        return Ending(
            outputs={node_id: dict(result.ui or {}) for node_id, result in kept.items()},
            meta={node_id: dict[str, JsonValue](result.meta or {}) for node_id, result in self.shown.items()},
            status={
                "status_str": "success" if completed else "error",
                "completed": completed,
                "messages": self.messages,
            },
        )

    def _run_nodes(self) -> bool:
        reporter = Reporter(self.hub, self.instance, ProgressBoard(self.prompt.id), self.prompt)
        try:
            plan = self._plan()
            while (node_id := plan.pick()) is not None:
                self.current = self.nodes[node_id]
                if self._step(self.current, plan, reporter):
                    plan.done(node_id)
        except InterruptedRunError:
            self._message("execution_interrupted", self._where(), broadcast=True)
            return False
        except Exception as error:  # a supervised edge: whatever a node raises ends its prompt, not the worker
            self._fail(error)
            return False
        self._message("execution_success", {})
        return True

    def _plan(self) -> Plan:
        self.signatures = signatures(self.nodes, self.prompt.outputs, self._fingerprint)
        found = {node_id: self.cache.get(signature_) for node_id, signature_ in self.signatures.items()}
        self.results = {node_id: result for node_id, result in found.items() if result is not None}
        self._message("execution_cached", {"nodes": list[JsonValue](self.results)})
        plan = Plan(self.nodes, lambda node_id: node_id in self.results, self._is_output)
        plan.add(self.prompt.outputs)
        return plan

    def _is_output(self, node_id: str) -> bool:
        return NODES[self.nodes[node_id].class_type].output_node

    def _fingerprint(self, node: PlannedNode) -> str:
        definition = NODES[node.class_type]
        unique = node.id if "unique_id" in definition.hidden else ""
        if definition.fingerprint is None:
            return unique
        values = {name: value for name, value in node.inputs.items() if not is_link(value)}
        return unique + definition.fingerprint(self._node_run(node, None), Inputs(values))

    def _step(self, node: PlannedNode, plan: Plan, reporter: Reporter) -> bool:
        """Brings one graph node forward and tells whether it is done."""
        if node.id in self.expanding:
            self._keep(node, Result(self._expanded(node)), reporter)
        elif node.id in self.results:
            self._show(node, self.results[node.id])
            reporter.finished(node)
        else:
            outcome = self._call(node, reporter)
            if outcome.expansion is not None:
                self._expand(node, outcome.expansion, plan)
                return False
            meta = {
                "node_id": node.id,
                "display_node": node.display_id,
                "parent_node": node.parent_id,
                "real_node_id": node.display_id,
            }
            result = Result(outcome.outputs, outcome.ui or None, meta)
            self._show(node, result)
            self._keep(node, result, reporter)
        return True

    def _call(self, node: PlannedNode, reporter: Reporter) -> Outcome:
        definition = NODES[node.class_type]
        reporter.started(node)
        if self.instance.faults.is_on(Fault.DEAD_WORKER):
            raise WorkerEndError
        raise_as_asked(self.instance.faults)
        self.instance.check_interrupted()
        inputs = self._inputs(node)
        blocked = next((value for value in inputs.values() if isinstance(value, Blocked)), None)
        if blocked is not None:
            self._tell_blocked(node, blocked)
            return Outcome(tuple(Blocked(None) for _ in definition.outputs))
        return definition.run(self._node_run(node, reporter), Inputs(inputs))

    def _node_run(self, node: PlannedNode, reporter: Reporter | None) -> NodeRun:
        metadata = self.prompt.extra_data.get("extra_pnginfo")

        def report(value: int, maximum: int, preview: Image.Image | None) -> None:
            if reporter is not None:
                reporter.progress(node, value, maximum, preview)

        def show_text(text: str) -> None:
            if reporter is not None:
                reporter.text(node, text)

        return NodeRun(
            instance=self.instance,
            node_id=node.id,
            graph=self.prompt.graph,
            extra_pnginfo=metadata if isinstance(metadata, dict) else {},
            preview=reporter is not None and reporter.wants_previews(),
            report=report,
            show_text=show_text,
        )

    def _inputs(self, node: PlannedNode) -> dict[str, object]:
        return {name: self._resolved(value) for name, value in node.inputs.items()}

    def _resolved(self, value: object) -> object:
        if not is_link(value):
            return value
        assert isinstance(value, list)
        return self.results[value[0]].outputs[value[1]]

    def _keep(self, node: PlannedNode, result: Result, reporter: Reporter) -> None:
        self.results[node.id] = result
        self.cache.put(self.signatures[node.id], result)
        self.executed.append(node.id)
        reporter.finished(node)

    def _show(self, node: PlannedNode, result: Result) -> None:
        if not result.ui:
            return
        if self.instance.faults.take(Fault.WIPED_TEMP) is not None:
            self.instance.folders.wipe_temp()
        self.shown[node.id] = result
        if self.prompt.client_id is not None:
            data = {
                "node": node.id,
                "display_node": node.display_id,
                "output": result.ui,
                "prompt_id": self.prompt.id,
            }
            self.hub.send("executed", data, self.prompt.client_id)

    def _expand(self, node: PlannedNode, expansion: Expansion, plan: Plan) -> None:
        prefix = f"{node.id}.0.0."
        made = []
        for suffix, (class_type, inputs) in expansion.nodes.items():
            linked = {
                name: [prefix + value[0], value[1]] if is_link(value) and isinstance(value, list) else value
                for name, value in inputs.items()
            }
            new = PlannedNode(prefix + suffix, class_type, linked, node.display_id, node.id)
            self.nodes[new.id] = new
            self.signatures[new.id] = signature(new, self.signatures, self._fingerprint)
            made.append(new.id)
        self.expanding[node.id] = tuple((prefix + suffix, slot) for suffix, slot in expansion.result)
        plan.add(reversed(made))
        for source, _ in self.expanding[node.id]:
            plan.wait(node.id, source)

    def _expanded(self, node: PlannedNode) -> tuple[object, ...]:
        return tuple(self.results[source].outputs[slot] for source, slot in self.expanding[node.id])

    def _tell_blocked(self, node: PlannedNode, blocked: Blocked) -> None:
        if blocked.message is None or self.prompt.client_id is None:
            return
        data = {
            "prompt_id": self.prompt.id,
            "node_id": node.id,
            "node_type": node.class_type,
            "executed": [*self.executed],
            "exception_message": f"Execution Blocked: {blocked.message}",
            "exception_type": "ExecutionBlocked",
            "traceback": [],
            "current_inputs": [],
            "current_outputs": [],
        }
        self.hub.send("execution_error", data, self.prompt.client_id)

    def _where(self) -> dict[str, JsonValue]:
        node = self.current or self.nodes[self.prompt.outputs[0]]
        return {
            "node_id": node.display_id,
            "node_type": self.nodes[node.display_id].class_type,
            "executed": list[JsonValue](self.executed),
        }

    def _fail(self, error: Exception) -> None:
        kind = type_name(type(error))
        out_of_memory = kind == "torch.OutOfMemoryError"
        if out_of_memory:
            self.instance.resident.unload_all()
        _log.warning("A graph node failed: %s", error, extra={"exception_type": kind, "prompt_id": self.prompt.id})
        details: dict[str, JsonValue] = {
            **self._where(),
            "exception_message": f"{error}\n{_OOM_TIP if out_of_memory else ''}",
            "exception_type": kind,
            "traceback": list[JsonValue](traceback.format_tb(error.__traceback__)),
            "current_inputs": self._described_inputs(),
            "current_outputs": list[JsonValue](self.prompt.graph),
        }
        self._message("execution_error", details)

    def _described_inputs(self) -> dict[str, JsonValue]:
        if self.current is None:
            return {}
        inputs: Mapping[str, object] = self._inputs(self.current)
        return {
            name: [value if isinstance(value, (str, int, float, bool)) else str(value)]
            for name, value in inputs.items()
        }

    def _message(self, event: str, data: dict[str, JsonValue], *, broadcast: bool = False) -> None:
        """Notes a message for the history and sends it to the client; to all when it has none, if so asked."""
        written: dict[str, JsonValue] = {"prompt_id": self.prompt.id, **data}
        if event == "execution_cached":
            written = {**data, "prompt_id": self.prompt.id}
        written["timestamp"] = self.instance.faults.clock()
        self.messages.append([event, written])
        if self.prompt.client_id is not None or broadcast:
            self.hub.send(event, written, self.prompt.client_id)


def _input_names(class_type: str) -> set[str]:
    definition = NODES[class_type]
    return {*definition.required, *definition.optional}


def type_name(kind: type[BaseException]) -> str:
    """Returns the name of an exception as clients see it: with its module, except for built-in ones."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
