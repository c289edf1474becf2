"""A task that was accepted stays accepted, whatever has become of the fleet when the call is repeated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from comfymesh.client import AsyncClient, ComfyMeshError, RetryPolicy
from comfymesh.stack import mesh
from comfymesh.stack.processes import Processes, Program
from comfymesh.testkit import graphs
from comfymesh.testkit.waiting import DEADLINE, until


async def test_a_repeated_create_answers_its_task_though_no_node_is_left(tmp_path: Path) -> None:
    request_id = str(uuid4())
    graph = graphs.picture()
    async with (
        mesh.running(mesh.MeshPlan(tmp_path, [mesh.emulated()], "127.0.0.1:0")) as up,
        AsyncClient(up.target) as client,
    ):
        first = await client.create(graph, request_id=request_id)

    nats, api = mesh.free_port(), mesh.free_port()
    settings = {
        "COMFYMESH_NATS_URL": f"nats://127.0.0.1:{nats}",
        "COMFYMESH_API_LISTEN": f"127.0.0.1:{api}",
        "COMFYMESH_API_AUTH": "open",
    }
    programs = [
        mesh.nats_program(tmp_path, f"127.0.0.1:{nats}"),
        Program("api", mesh.module("comfymesh.api.main"), settings),
    ]
    # They are being started: nobody has answered at this address yet.
    patient = RetryPolicy(connect_timeout=DEADLINE)
    async with Processes(programs, tmp_path / "later"), AsyncClient(f"127.0.0.1:{api}", retries=patient) as client:
        again = await until(lambda: client.create(graph, request_id=request_id), "the repeated create")
        assert again.name == first.name
    async with (
        Processes(programs, tmp_path / "later"),
        AsyncClient(f"127.0.0.1:{api}", retries=replace(patient, patience=1)) as client,
    ):
        await until(lambda: client.get(first.name), "the api")
        with pytest.raises(ComfyMeshError) as refused:
            await client.create(graph, request_id=str(uuid4()))
        assert refused.value.reason == "NO_FEASIBLE_NODE"
