"""Events without a prompt belong to ours that runs, and to nobody when somebody else's runs."""

from __future__ import annotations

from comfymesh.agent.comfyui.events import (
    Event,
    ExecutionStarted,
    FeatureFlags,
    NodeStarted,
    Preview,
    PromptEnded,
    Status,
    StepProgress,
    TextProgress,
)
from comfymesh.agent.comfyui.routing import EventRouter

PICTURE = Preview(b"x", "image/jpeg")
NAMED = Preview(b"x", "image/jpeg", "p", "2")


def route(*events: Event) -> tuple[str, Event] | None:
    router = EventRouter({"p", "q"})
    last = None
    for event in events:
        last = router.route(event)
    return last


def test_an_event_goes_to_the_prompt_that_it_names() -> None:
    assert route(StepProgress("p", "2", 1, 2)) == ("p", StepProgress("p", "2", 1, 2))


def test_events_of_prompts_that_are_not_ours_go_nowhere() -> None:
    assert route(StepProgress("other", "2", 1, 2)) is None
    assert route(Preview(b"x", "image/png", "other", "1")) is None


def test_the_queue_count_belongs_to_no_prompt() -> None:
    assert route(Status(1)) is None


def test_a_nameless_preview_belongs_to_the_graph_node_that_runs() -> None:
    assert route(ExecutionStarted("p"), NodeStarted("p", "2.0.0.1", "2"), PICTURE) == ("p", NAMED)


def test_a_nameless_preview_before_the_first_graph_node_belongs_to_the_prompt_alone() -> None:
    assert route(ExecutionStarted("p"), PICTURE) == ("p", Preview(b"x", "image/jpeg", "p", None))


def test_a_nameless_preview_belongs_to_nobody_while_none_of_ours_runs() -> None:
    assert route(PICTURE) is None
    assert route(ExecutionStarted("other"), PICTURE) is None
    assert route(ExecutionStarted("p"), PromptEnded("p"), PICTURE) is None


def test_a_server_that_names_previews_sends_nameless_ones_only_for_others() -> None:
    assert route(FeatureFlags(preview_metadata=True, flags={}), ExecutionStarted("p"), PICTURE) is None


def test_a_named_preview_goes_to_its_prompt_whatever_runs() -> None:
    assert route(ExecutionStarted("q"), NAMED) == ("p", NAMED)


def test_a_text_belongs_to_the_prompt_that_runs() -> None:
    assert route(ExecutionStarted("p"), TextProgress("2", "step 1")) == ("p", TextProgress("2", "step 1", "p"))
    assert route(TextProgress("2", "step 1")) is None


def test_the_end_of_a_prompt_that_waits_does_not_end_the_running_one() -> None:
    assert route(ExecutionStarted("p"), PromptEnded("q"), PICTURE) == ("p", Preview(b"x", "image/jpeg", "p", None))


def test_the_greeting_of_a_reconnecting_client_names_no_prompt_and_goes_nowhere() -> None:
    assert route(NodeStarted(None, "2", "2")) is None


def test_after_a_reconnection_nothing_is_taken_for_granted() -> None:
    router = EventRouter({"p"})
    router.route(ExecutionStarted("p"))
    router.reset()
    assert router.route(PICTURE) is None
