from __future__ import annotations

import json

import pytest

from comfymesh.agent.comfyui.glut import LARGE, Glut, is_large_state

STATES = json.dumps({"type": "progress_state", "data": {"prompt_id": "p", "nodes": {"1": "x" * LARGE}}})


@pytest.mark.parametrize(
    "message",
    [
        json.dumps({"type": "progress_state", "data": {"prompt_id": "p", "nodes": {}}}),
        json.dumps({"type": "executed", "data": {"output": "x" * LARGE}}),
        json.dumps({"type": "execution_error", "data": {"text": '{"type": "progress_state"' * LARGE}}),
        bytes(LARGE),
    ],
)
def test_all_else_is_always_read(message: str | bytes) -> None:
    glut = Glut()
    glut.took(STATES, 0.0, 100.0)
    glut.took(message, 100.0, 200.0)
    assert not is_large_state(message)
    assert not glut.leaves_out(message, 200.0)


def test_large_states_take_a_tenth_of_the_time() -> None:
    glut, now, spent = Glut(), 0.0, 0.0
    while now < 100.0:
        if glut.leaves_out(STATES, now):
            now += 0.01
        else:
            glut.took(STATES, now, now + 0.1)
            now += 0.1
            spent += 0.1
    assert 9.0 <= spent <= 10.5


def test_states_that_come_seldom_are_all_read() -> None:
    glut = Glut()
    for second in range(10):
        assert not glut.leaves_out(STATES, float(second))
        glut.took(STATES, float(second), second + 0.05)
