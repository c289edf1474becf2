"""Stores a workflow, runs it with other inputs, and makes a better version of it."""

from __future__ import annotations

import os
from pathlib import Path

from comfymesh.client import Client, InputKind, WorkflowInput

HERE = Path(__file__).parent
INPUTS = [
    WorkflowInput("prompt", InputKind.STRING, ("2.text",), "What is to be seen.", required=True),
    WorkflowInput("seed", InputKind.INTEGER, ("5.seed",), minimum=0, maximum=2**64 - 1),
    WorkflowInput("steps", InputKind.INTEGER, ("5.steps",), default=20, minimum=1, maximum=50),
]

with Client(os.environ.get("COMFYMESH_TARGET", "127.0.0.1:7700")) as mesh:
    made = mesh.workflows.create("example", HERE / "text-to-image.json", inputs=INPUTS[:2])
    print(made.name, "version", made.default_version, [each.name for each in made.inputs])

    better = mesh.workflows.update("example", inputs=INPUTS)
    for violation in mesh.workflows.validate("example").violations:
        print(violation.severity, violation.graph_node, violation.message)

    result = mesh.workflows.run("example", prompt="a lighthouse at dawn", seed=2**64 - 1, steps=4)
    print(result.task.workflow_version, [str(path) for path in result.save("out")])

    mesh.workflows.delete("example")
