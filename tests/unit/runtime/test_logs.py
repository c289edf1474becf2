"""Lines of the log: what they say of where they come from, and what they must never say."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import logging
from collections.abc import Iterator
from functools import partial

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from comfymesh.runtime import journal, logcontext, logs, redaction

PROMPT = "a lighthouse at dusk,\noil on canvas"
GRAPH = json.dumps({"2": {"class_type": "CLIPTextEncode", "inputs": {"text": PROMPT, "clip": ["1", 1]}}})
KEY = "cmk_k0123456789abcdef_Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLW9mLWFsaWNl"

SECRETS = {
    "a password in a URL": ("can't reach nats://mesh:hunter2hunter2@nats-1:4222", "hunter2hunter2"),
    "a token in a URL": ("can't reach nats://s3cr3tt0k3n@nats-1:4222", "s3cr3tt0k3n"),
    "a password that is not escaped": ("can't reach nats://mesh:p@ss/hunter2@nats-1:4222", "hunter2"),
    "one of two passwords in URLs": ("at nats://a:b@h1:4222,nats://c:d/hunter2@h2:4222", "hunter2"),
    "a bearer": (f"authorization: Bearer {KEY}", KEY),
    "a bearer in a tuple": (f"(('authorization', 'Bearer {KEY}'),)", KEY),
    "an API key": (f"the key {KEY} is not known", KEY),
    "a JWT": (f"the token {JWT} has expired", JWT),
    "basic credentials": ("Proxy-Authorization: Basic YWxpY2U6aHVudGVyMg==", "YWxpY2U6aHVudGVyMg=="),
    "a password by name": ("password=hunter2hunter2 user=alice", "hunter2hunter2"),
    "a password in JSON": ('{"password": "hunter2hunter2"}', "hunter2hunter2"),
    "a password of several words": ("password: correct horse battery user=alice", "battery"),
    "a secret of several words": ("webhook_secret: correct horse battery url=x", "battery"),
    "a quoted password of several words": ("as alice, password='correct horse, battery'", "battery"),
    "a password of several words in JSON": ('{"password": "correct horse battery"}', "battery"),
    "a password of several words in JSON in JSON": (r"{\"password\": \"correct horse battery\"}", "battery"),
    "a token with a name of its own": ("mytoken=hunter2hunter2", "hunter2hunter2"),
    "a secret of the environment": ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI/K7MDENG"),
    "an access key": ("as AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    "a signed URL": ("GET /a?X-Amz-Signature=0f9e8d7c6b5a&x=1", "0f9e8d7c6b5a"),
    "a chat's hook": ("POST hooks.slack.com/services/T00/B00/XXXXYYYYZZZZ", "XXXXYYYYZZZZ"),
    "a chat's token": ("POST /robot/send?access_token=5f4dcc3b5aa765d6", "5f4dcc3b5aa765d6"),
    "a webhook's secret": ("signed with whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    "a private key": ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKC\n-----END RSA PRIVATE KEY-----", "MIIEpAIBAAKC"),
}
HARMLESS = (
    "task t0123456789abcdef is RUNNING on nodes/a",
    "waiting for JetStream: NATS did not confirm task.default.one within 5 s",
    "can't listen on 127.0.0.1:7700: is the port in use, or the host not ours?",
    "the resume token names position 5 of the log, which ends at 3",
    "can't fetch https://example.org/a/b.png: 404",
    "3 tokens: 17, tokenizer loaded",
    "compass: north, config: none, bypass=yes",
    "can't fetch https://example.org:8443/@alice/a.png: 404",
)


_NUMBERS = itertools.count()
"""Of loggers, which stay: one that is found again writes, and takes out secrets, as it was first told to."""


class Lines:
    """A logger, and what came of it."""

    def __init__(self, formatter: logging.Formatter, *, redact: bool = True) -> None:
        self._stream = io.StringIO()
        handler = logging.StreamHandler(self._stream)
        handler.setFormatter(formatter)
        handler.addFilter(logs.Completing(redact=redact))
        self.log = logging.getLogger(f"test-{next(_NUMBERS)}")
        self.log.addHandler(handler)
        self.log.propagate = False
        self.log.setLevel(logging.DEBUG)

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def last(self) -> dict[str, object]:
        told: dict[str, object] = json.loads(self.text.splitlines()[-1])
        return told


def breaks(text: str) -> None:
    """Raise an exception that says a text."""
    raise RuntimeError(text)


FORMATTERS = {
    "json": lambda: logs.JsonFormatter("api"),
    "text": lambda: logs.TextFormatter("api"),
    "colors": lambda: logs.TextFormatter("api", colors=True),
}


@pytest.fixture(params=FORMATTERS)
def lines(request: pytest.FixtureRequest) -> Lines:
    return Lines(FORMATTERS[request.param]())


@pytest.fixture
def told() -> Lines:
    return Lines(logs.JsonFormatter("api"))


@pytest.fixture(autouse=True)
def scope() -> Iterator[None]:
    token = logcontext._SCOPE.set(logcontext.Scope())
    yield
    logcontext._SCOPE.reset(token)


# Where a line comes from


def test_a_line_says_what_is_under_way(told: Lines) -> None:
    logcontext.bind(node="a")
    logcontext.bind(tenant="acme", task="one", attempt=2)
    told.log.info("it %s", "runs", extra={"action": "x"})
    assert told.last.items() >= {
        "message": "it runs", "node": "a", "tenant": "acme", "task": "one", "attempt": 2, "action": "x"
    }.items()  # fmt: skip


def test_what_is_said_with_a_line_has_the_last_word(told: Lines) -> None:
    logcontext.bind(task="one")
    told.log.info("it runs", extra={"task": "two"})
    assert told.last["task"] == "two"


async def test_tasks_say_what_those_say_that_started_them_and_not_what_others_do(told: Lines) -> None:
    async def attempt(name: str) -> None:
        logcontext.bind(task=name)
        await asyncio.sleep(0)
        await asyncio.create_task(part())

    async def part() -> None:
        told.log.info("part")

    logcontext.bind(node="a")
    await asyncio.gather(attempt("one"), attempt("two"))
    told.log.info("after")
    said = [json.loads(line) for line in told.text.splitlines()]
    assert {(line["node"], line.get("task")) for line in said} == {("a", "one"), ("a", "two"), ("a", None)}


def test_a_line_says_in_which_trace_it_is(told: Lines) -> None:
    span = TracerProvider(shutdown_on_exit=False).get_tracer("test").start_span("x")
    with trace.use_span(span):
        told.log.info("traced")
    assert told.last["trace_id"] == trace.format_trace_id(span.get_span_context().trace_id)
    assert told.last["span_id"] == trace.format_span_id(span.get_span_context().span_id)
    told.log.info("not traced")
    assert "trace_id" not in told.last


def test_an_event_is_one_line_of_json_whatever_it_holds(told: Lines) -> None:
    try:
        breaks("two\nlines")
    except RuntimeError:
        told.log.exception("it broke\nbadly")
    assert len(told.text.splitlines()) == 1
    assert "RuntimeError: two\nlines" in str(told.last["exception"])


def test_a_terminal_with_colors_shows_levels_in_them() -> None:
    lines = Lines(logs.TextFormatter("api", colors=True))
    lines.log.error("it broke", extra={"task": "one"})
    assert "\x1b[31mE\x1b[0m api: it broke" in lines.text
    assert "\x1b[2m[task=one]\x1b[0m" in lines.text
    plain = Lines(logs.TextFormatter("api"))
    plain.log.error("it broke")
    assert "\x1b" not in plain.text


# What a line must not say


@pytest.mark.parametrize("kind", SECRETS)
def test_a_planted_secret_shows_up_nowhere(lines: Lines, kind: str) -> None:
    text, secret = SECRETS[kind]
    lines.log.warning("refused: %s", text)
    lines.log.warning("refused", extra={"reason": text, "cause": RuntimeError(text), "parts": [text]})
    try:
        breaks(text)
    except RuntimeError:
        lines.log.exception("it broke: %r", text)
    assert secret not in lines.text
    assert redaction.HIDDEN in lines.text


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_is_left_as_it_is(told: Lines, text: str) -> None:
    told.log.info("%s", text)
    assert told.last["message"] == text


@pytest.mark.parametrize("name", sorted(redaction.PRIVATE_FIELDS))
def test_fields_that_hold_what_is_a_callers_are_not_shown(told: Lines, name: str) -> None:
    told.log.info("a task", extra={name: "whatever it is"})
    assert told.last[name] == redaction.HIDDEN


@pytest.mark.parametrize("shown", [PROMPT, repr(PROMPT), json.dumps(PROMPT), PROMPT.splitlines()[1]])
def test_a_prompt_shows_up_nowhere_in_what_is_logged_of_its_task(lines: Lines, shown: str) -> None:
    logcontext.bind(task="one")
    logcontext.conceal(lambda: redaction.words_of_json(GRAPH))
    lines.log.warning("ComfyUI says: bad input %s", shown)
    try:
        breaks(f"CLIPTextEncode: {shown}")
    except RuntimeError:
        lines.log.exception("it broke", extra={"error": RuntimeError(shown)})
    assert "lighthouse" not in lines.text.replace("\\n", "\n")
    assert "oil on canvas" not in lines.text
    assert "CLIPTextEncode" in lines.text


def test_a_prompt_in_chinese_is_one_too(told: Lines) -> None:
    logcontext.bind(task="one")
    logcontext.conceal(lambda: redaction.words({"1": {"inputs": {"text": "黄昏的灯塔"}}}))
    told.log.warning("bad input 黄昏的灯塔")
    assert "灯塔" not in told.text


async def test_a_prompt_is_concealed_in_the_tasks_around_the_one_that_read_it(told: Lines) -> None:
    async def stage() -> None:
        logcontext.conceal(lambda: redaction.words_of_json(GRAPH))

    logcontext.bind(task="one")
    await asyncio.create_task(stage())
    told.log.warning("bad input %r", PROMPT)
    assert "lighthouse" not in told.text


def test_all_prompts_of_a_batch_are_concealed(told: Lines) -> None:
    logcontext.bind(method="BatchCreateTasks")
    for number in range(300):
        logcontext.conceal(partial(redaction.words, {"text": f"a garden {number}"}))
    told.log.warning("bad input a garden 299")
    assert "299" not in told.last["message"]


def test_a_source_that_can_not_be_read_ends_nobody(told: Lines) -> None:
    def source() -> list[str]:
        raise ValueError("no")

    logcontext.bind(task="one")
    logcontext.conceal(source)
    told.log.warning("it goes on: %s", PROMPT)
    assert told.last["message"] == "it goes on: %s"


def test_more_prompts_than_can_be_looked_for_are_not_shown_at_all(told: Lines) -> None:
    logcontext.bind(task="one")
    logcontext.conceal(partial(redaction.words, [f"a garden {number}" for number in range(2000)]))
    told.log.warning("bad input %s", "a garden 1999", extra={"error": RuntimeError("a garden 1998")})
    assert "garden" not in told.text
    assert told.last["message"] == "bad input %s"


@pytest.mark.parametrize("long", ["a lamp " * 5000, "a\nlamp\n" * 300, 'a "lamp" ' * 5000])
def test_a_long_prompt_is_concealed_too(told: Lines, long: str) -> None:
    logcontext.bind(task="one")
    logcontext.conceal(partial(redaction.words, {"1": {"inputs": {"text": long}}}))
    told.log.warning("bad input %s and %r", long, long)
    assert "lamp" not in told.text


def test_what_a_caller_wrote_is_read_once_however_much_is_logged(told: Lines) -> None:
    asked = list[int]()

    def source() -> list[str]:
        asked.append(1)
        return [PROMPT]

    logcontext.bind(task="one")
    logcontext.conceal(source)
    for _ in range(3):
        told.log.warning("bad input %s", PROMPT)
    assert asked == [1]


@pytest.mark.parametrize("text", ['"' + 'a\\"' * 200_000, '["' + 'a\\" ' * 200_000, "[" * 200_000])
def test_texts_made_to_be_slow_to_read_are_not(text: str) -> None:
    """The pattern of an earlier build took hours for these: the test would run into its time limit."""
    redaction.private(redaction.words_of_json(text))


def test_with_redaction_off_everything_is_shown() -> None:
    lines = Lines(logs.JsonFormatter("api"), redact=False)
    lines.log.warning("refused: %s", SECRETS["an API key"][0])
    assert KEY in lines.text


def test_hostile_texts_of_any_length_are_searched_in_no_time(told: Lines) -> None:
    for text in ("password=" * 50_000, "://" + "a" * 400_000, "eyJ" * 100_000, '"' * 300_000, "-----BEGIN " * 40_000):
        told.log.warning("%s", text)
    assert all(len(line) < 400_000 for line in told.text.splitlines())


def test_a_text_that_is_no_json_conceals_what_can_be_read(told: Lines) -> None:
    logcontext.bind(task="one")
    logcontext.conceal(lambda: redaction.words_of_json('{"text": "a secret garden", "broken \\x" : "'))
    told.log.warning("can't parse a secret garden")
    assert "garden" not in told.text


def test_the_journal_is_told_no_more_than_others(tmp_path: object) -> None:
    record = logging.makeLogRecord({"msg": "key %s", "args": (KEY,), "levelno": logging.INFO, "reason": f"not {KEY}"})
    handler = journal.JournalHandler("agent", logs.fields, "/nowhere")
    logs.Completing().filter(record)
    told = handler._all(record, handler.format(record))
    handler.close()
    assert KEY not in str(told)
