"""Events come in the recorded orders (protocol notes, section 9)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.contract.comfyui.conftest import Client, MakeGraph, Run


def outline(run: Run) -> list[Any]:
    """Returns the events of a run, without those of other prompts and the counts of the queue."""
    lines = []
    for frame in run.frames:
        if frame.kind == "status":
            continue
        if frame.kind == "progress_state":
            lines.append(("state", {key: node["state"] for key, node in frame.data["nodes"].items()}))
        elif frame.kind.startswith("exec"):
            lines.append((frame.kind, frame.data.get("node", frame.data.get("node_id"))))
        else:
            lines.append((frame.kind, None))
    return lines


async def test_a_new_prompt_tells_every_start_and_end_in_order(comfyui: Client, tiny: MakeGraph) -> None:
    run = await comfyui.run(tiny())
    assert outline(run) == [
        ("execution_start", None),
        ("execution_cached", None),
        ("state", {"1": "running"}),
        ("executing", "1"),
        ("state", {"1": "finished"}),
        ("state", {"1": "finished", "2": "running"}),
        ("executing", "2"),
        ("executed", "2"),
        ("state", {"1": "finished", "2": "finished"}),
        ("execution_success", None),
        ("executing", None),
    ]


async def test_the_queue_is_told_on_entry_on_start_and_at_the_end(comfyui: Client, tiny: MakeGraph) -> None:
    run = await comfyui.run(tiny())
    counts = [frame.data["status"]["exec_info"]["queue_remaining"] for frame in run.of("status")]
    assert counts == [1, 1, 0]
    assert run.kinds()[-2:] == ["status", "executing"]


async def test_a_repeated_prompt_tells_only_its_outputs_with_the_old_names(comfyui: Client, tiny: MakeGraph) -> None:
    graph = tiny()
    first = await comfyui.run(graph)
    second = await comfyui.run(graph)
    assert outline(second) == [
        ("execution_start", None),
        ("execution_cached", None),
        ("executed", "2"),
        ("state", {"2": "finished"}),
        ("execution_success", None),
        ("executing", None),
    ]
    assert sorted(second.of("execution_cached")[0].data["nodes"]) == ["1", "2"]
    assert second.entry["outputs"] == first.entry["outputs"]


async def test_the_cache_does_not_care_for_the_ids_of_graph_nodes(comfyui: Client, tiny: MakeGraph) -> None:
    graph = tiny()
    first = await comfyui.run(graph)
    renamed = json.loads(json.dumps(graph).replace('"1"', '"91"').replace('"2"', '"92"'))
    second = await comfyui.run(renamed)
    assert sorted(second.of("execution_cached")[0].data["nodes"]) == ["91", "92"]
    assert second.entry["outputs"]["92"] == first.entry["outputs"]["2"]


async def test_changing_one_input_runs_only_what_depends_on_it(comfyui: Client, tiny: MakeGraph) -> None:
    graph = tiny()
    await comfyui.run(graph)
    graph["2"]["inputs"]["filename_prefix"] += "-again"
    second = await comfyui.run(graph)
    assert second.of("execution_cached")[0].data["nodes"] == ["1"]
    assert [frame.node for frame in second.of("executing")] == ["2", None]


async def test_a_sampling_step_tells_state_preview_progress(comfyui: Client, fresh: MakeGraph) -> None:
    comfyui.require_models("tiny-sd3-random.safetensors")
    graph = fresh("04-tiny-txt2img.json")
    run = await comfyui.run(graph, extra_data={"preview_method": "latent2rgb"})
    kinds = [kind for kind in run.kinds() if kind != "status"]
    first = kinds.index("binary 4")
    assert kinds[first - 1 : first + 5] == [
        "progress_state",
        "binary 4",
        "progress",
        "progress_state",
        "binary 4",
        "progress",
    ]
    assert [frame.data["value"] for frame in run.of("progress")] == list(range(1, 9))


async def test_a_client_without_metadata_gets_plain_previews_after_progress(comfyui: Client, fresh: MakeGraph) -> None:
    comfyui.require_models("tiny-sd3-random.safetensors")
    run = await comfyui.run(fresh("04-tiny-txt2img.json"), metadata=False, extra_data={"preview_method": "latent2rgb"})
    kinds = [kind for kind in run.kinds() if kind != "status"]
    first = kinds.index("binary 1")
    assert kinds[first - 2 : first + 1] == ["progress_state", "progress", "binary 1"]
    assert "binary 4" not in kinds


async def test_previews_carry_a_jpeg_and_say_what_they_belong_to(comfyui: Client, fresh: MakeGraph) -> None:
    comfyui.require("ProbeSleepSteps")
    run = await comfyui.run(fresh("20-probe-steps.json"))
    frame = run.of("binary 4")[0].data
    length = int.from_bytes(frame[4:8], "big")
    metadata = json.loads(frame[8 : 8 + length])
    assert metadata == {
        "node_id": "2",
        "prompt_id": run.prompt_id,
        "display_node_id": "2",
        "parent_node_id": None,
        "real_node_id": "2",
        "image_type": "image/jpeg",
    }
    assert frame[8 + length :].startswith(b"\xff\xd8\xff")


async def test_previews_can_be_switched_off_for_one_prompt(comfyui: Client, fresh: MakeGraph) -> None:
    comfyui.require_models("tiny-sd3-random.safetensors")
    graph = fresh("04-tiny-txt2img.json")
    (sampler,) = (node for node in graph.values() if node["class_type"] == "KSampler")
    sampler["inputs"]["steps"] = 10_000  # Of a short run the gateway may tell no progress.
    socket = await comfyui.connect()
    prompt_id = await comfyui.submit(graph, client_id=socket.client_id, extra_data={"preview_method": "none"})
    frames = [frame for _ in range(10) for frame in await socket.until(lambda frame: frame.kind == "progress")]
    await comfyui.post("/interrupt", {"prompt_id": prompt_id})
    frames += await socket.until_end(prompt_id)
    await socket.close()
    assert "binary 4" not in {frame.kind for frame in frames}


async def test_an_error_ends_without_success(comfyui: Client, fresh: MakeGraph) -> None:
    comfyui.require("ProbeRaise")
    run = await comfyui.run(fresh("22-probe-raise-oom.json"))
    kinds = [kind for kind in run.kinds() if kind not in {"status", "progress_state"}]
    assert kinds[-3:] == ["executing", "execution_error", "executing"]
    assert "execution_success" not in kinds


async def test_a_blocked_branch_tells_an_error_and_the_rest_goes_on(comfyui: Client, fresh: MakeGraph) -> None:
    comfyui.require("ProbeBlocker")
    run = await comfyui.run(fresh("26-probe-blocker.json"))
    error = run.of("execution_error")[0].data
    assert (error["exception_type"], error["traceback"], error["current_inputs"]) == ("ExecutionBlocked", [], [])
    assert run.of("execution_success")
    assert [message[0] for message in run.entry["status"]["messages"]] == [
        "execution_start",
        "execution_cached",
        "execution_success",
    ]


async def test_nodes_made_at_run_time_have_dotted_ids(comfyui: Client, fresh: MakeGraph) -> None:
    comfyui.require("ProbeExpand")
    run = await comfyui.run(fresh("27-probe-expand.json"))
    began = [(frame.node, frame.data.get("display_node")) for frame in run.of("executing")]
    assert began == [("1", "1"), ("2", "2"), ("2.0.0.1", "2"), ("2.0.0.2", "2"), ("3", "3"), (None, None)]
    state = run.of("progress_state")[-1].data["nodes"]["2.0.0.1"]
    assert (state["parent_node_id"], state["real_node_id"], state["display_node_id"]) == ("2", "2", "2")


async def test_text_frames_name_their_node(comfyui: Client, fresh: MakeGraph) -> None:
    comfyui.require("ProbeAsync")
    run = await comfyui.run(fresh("25-probe-async-text.json"))
    assert [frame.data for frame in run.of("binary 3")] == [b"\0\0\0\3\0\0\0\x012step %d" % step for step in (1, 2, 3)]


async def test_history_is_complete_when_the_end_is_told(comfyui: Client, tiny: MakeGraph) -> None:
    for _ in range(10):
        run = await comfyui.run(tiny())
        assert run.entry["outputs"]["2"]["images"]


async def test_history_has_no_entry_before_the_end(comfyui: Client, steps: MakeGraph) -> None:
    comfyui.require("ProbeSleepSteps")
    socket = await comfyui.connect()
    prompt_id = await comfyui.submit(steps(), client_id=socket.client_id)
    await socket.until(lambda frame: frame.kind == "progress")
    assert await comfyui.get(f"/history/{prompt_id}") == {}
    await comfyui.post(f"/api/jobs/{prompt_id}/cancel")
    await socket.until_end(prompt_id)
    assert prompt_id in await comfyui.get(f"/history/{prompt_id}")


async def test_a_history_entry_holds_what_was_sent(comfyui: Client, tiny: MakeGraph) -> None:
    graph = tiny()
    run = await comfyui.run(graph, extra_data={"extra_pnginfo": {"workflow": {"id": "w"}}})
    number, prompt_id, kept, extra_data, outputs = run.entry["prompt"]
    assert (number, prompt_id, kept, outputs) == (run.answer["number"], run.prompt_id, graph, ["2"])
    assert extra_data["extra_pnginfo"] == {"workflow": {"id": "w"}}
    assert isinstance(extra_data["create_time"], int)
    assert run.entry["meta"] == {"2": {"node_id": "2", "display_node": "2", "parent_node": None, "real_node_id": "2"}}


async def test_output_that_is_not_strict_json_goes_out_as_it_is(comfyui: Client, tiny: MakeGraph) -> None:
    comfyui.require("ProbeUI")
    graph = tiny()
    graph["2"] = {"class_type": "ProbeUI", "inputs": {"image": ["1", 0], "kind": "nan", "nonce": "n"}}
    run = await comfyui.run(graph)
    assert str(run.of("executed")[0].data["output"]) == "{'values': [nan]}"


async def test_a_message_of_a_megabyte_is_sent_in_one_piece(comfyui: Client, tiny: MakeGraph) -> None:
    comfyui.require("ProbeUI")
    graph = tiny()
    graph["2"] = {"class_type": "ProbeUI", "inputs": {"image": ["1", 0], "kind": "big", "nonce": "n"}}
    run = await comfyui.run(graph)
    assert len(json.dumps(run.of("executed")[0].data)) > 1_000_000


async def test_an_output_node_may_show_nothing(comfyui: Client, tiny: MakeGraph) -> None:
    comfyui.require("ProbeUI")
    graph = tiny()
    graph["2"] = {"class_type": "ProbeUI", "inputs": {"image": ["1", 0], "kind": "empty", "nonce": "n"}}
    run = await comfyui.run(graph)
    assert (run.of("executed"), run.entry["outputs"]) == ([], {})


async def test_text_is_a_kind_of_output(comfyui: Client) -> None:
    comfyui.require("PreviewAny", "EmptyImage")
    graph = {"1": {"class_type": "PreviewAny", "inputs": {"source": "hello"}}}
    run = await comfyui.run(graph)
    assert run.entry["outputs"] == {"1": {"text": ["hello"]}}


async def test_an_animated_picture_says_that_it_is(comfyui: Client, fresh: MakeGraph) -> None:
    comfyui.require("SaveAnimatedWEBP")
    graph = fresh("06-batch-save-and-preview.json")
    graph["2"] = {
        "class_type": "SaveAnimatedWEBP",
        "inputs": {
            "images": ["1", 0],
            "filename_prefix": graph["2"]["inputs"]["filename_prefix"],
            "fps": 4.0,
            "lossless": True,
            "quality": 80,
            "method": "default",
        },
    }
    run = await comfyui.run(graph)
    shown = run.entry["outputs"]["2"]
    assert (len(shown["images"]), shown["animated"]) == (1, [True])
    assert shown["images"][0]["filename"].endswith(".webp")


async def test_sound_is_a_kind_of_output(comfyui: Client, tiny: MakeGraph) -> None:
    comfyui.require("EmptyAudio", "SaveAudio")
    prefix = tiny()["2"]["inputs"]["filename_prefix"]
    graph = {
        "1": {"class_type": "EmptyAudio", "inputs": {"duration": 0.1, "sample_rate": 8000, "channels": 1}},
        "2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": prefix}},
    }
    run = await comfyui.run(graph)
    assert [file["type"] for file in run.entry["outputs"]["2"]["audio"]] == ["output"]
