"""P3: one request makes one task, however often it is sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from comfymesh.testkit.checking.views import Call, View
from comfymesh.testkit.checking.violations import Promise, Violation

REUSED = "REQUEST_ID_REUSED"


def repeated(view: View) -> Iterator[Violation]:
    """P3: same request ID and content, same task; other content is refused, and the same content never is."""
    by_request: defaultdict[str, list[Call]] = defaultdict(list)
    for call in view.calls.values():
        if call.called.method == "create" and call.called.request_id:
            by_request[call.called.request_id].append(call)
    for request_id, calls in by_request.items():
        for task, what in _of_one_request(calls):
            yield Violation(Promise.P3, task, f"request {request_id}: {what}")
    yield from _twice_in_the_log(view)


def _of_one_request(calls: list[Call]) -> Iterator[tuple[str, str]]:
    answers = [(call.called.content, call.answer.task) for call in calls if call.answer is not None]
    first = answers[0][1] if answers else ""
    tasks, contents = {task for _, task in answers}, {content for content, _ in answers}
    if len(tasks) > 1:
        yield first, f"made more than one task: {', '.join(sorted(tasks))}"
    if len(contents) > 1:
        yield first, f"was accepted with more than one content: {', '.join(sorted(contents))}"
    sent = {call.called.content for call in calls}
    refused = [call for call in calls if call.refusal is not None and call.refusal.reason == REUSED]
    if refused and len(sent) == 1:
        yield first, "was refused as reused, and was sent with one content only"


def _twice_in_the_log(view: View) -> Iterator[Violation]:
    made: defaultdict[str, list[str]] = defaultdict(list)
    for task, records in view.log.items():
        if records[0].content and not records[0].origin:
            made[records[0].content].append(task)
    for content, tasks in made.items():
        if len(tasks) > 1:
            yield Violation(Promise.P3, tasks[0], f"content {content} is in the log as {', '.join(tasks)}")
