"""From a task that names a workflow to one that holds a graph: what it is from then on, for everybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from comfymesh import workflows
from comfymesh.api import fields
from comfymesh.api.errors import RefusedError, Violation, invalid
from comfymesh.api.workflows.registry import Workflows
from comfymesh.v1 import task_pb2


@dataclass(frozen=True, slots=True)
class Resolved:
    """A task with its graph.

    Attributes:
        task: With `graph_json`, and `inputs` by graph node and input.
        version: Full name of the workflow's version; empty where the caller has sent the graph.
        origins: Which of the workflow's inputs goes to an input of a graph node.
    """

    task: task_pb2.Task
    version: str = ""
    origins: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def in_callers_words(self, error: RefusedError) -> RefusedError:
        """A refusal that names inputs as the caller does. One who runs a workflow need not know its graph nodes."""
        if not self.origins:
            return error
        named = {
            spelled: f"task.inputs[{name}]"
            for (graph_node, name_there), name in self.origins.items()
            for spelled in (
                f"task.inputs[{graph_node}.{name_there}]",
                f"task.graph_json[{graph_node}].inputs.{name_there}",
            )
        }
        violations = [Violation(named.get(v.field, v.field), v.description) for v in error.violations]
        message = error.message
        for spelled, name in named.items():
            message = message.replace(f"{spelled}:", f"{name}:")
        return replace(error, violations=violations, message=message)


async def resolve(stored: Workflows, task: task_pb2.Task, tenant: str) -> Resolved:
    """The task with its graph; itself where it brings one.

    Raises:
        RefusedError: there is no such workflow, or its inputs do not take what the task gives.
    """
    if not task.workflow:
        return Resolved(task)
    version, content = await stored.runnable(tenant, task.workflow)
    binding = workflows.bind(content.inputs, task.inputs)
    if binding.wrong:
        raise invalid([Violation(f"task.inputs[{name[:128]}]", words) for name, words in binding.wrong])
    made = task_pb2.Task()
    made.CopyFrom(task)
    made.graph_json = content.graph_json
    made.ClearField("inputs")
    for (graph_node, name), value in binding.values.items():
        made.inputs[f"{graph_node}.{name}"].CopyFrom(value)
    made.workflow = ""
    resolved = Resolved(made, version, binding.origins)
    if wrong := list(fields.input_violations(made)):  # one input may have become many
        raise resolved.in_callers_words(invalid(wrong))
    return resolved
