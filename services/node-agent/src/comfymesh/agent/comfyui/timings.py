"""How patiently prompts are followed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionTimings:
    """Waiting times of the session, in seconds.

    Attributes:
        connect: How long a new prompt waits for the socket.
        poll: Between two looks at a prompt whose events we hear.
        poll_unheard: The same for one whose events we do not hear: adopted, or submitted under the client id of a
            lost connection.
        recheck: Before another look when one found nothing or no answer, and while a prompt is being stopped.
        refused: How long connections are refused until the server counts as dead, and its prompts, which it holds in
            memory, as lost.
        unanswered: How long a server may give no useful answer until its prompts count as lost.
        deaf: A socket that is still silent so long after the poll found an end is replaced.
        history: Waits between reads of a history entry that should be there and is not.
        stop: Waits between looks when a prompt is stopped without the jobs routes.
    """

    connect: float = 10.0
    poll: float = 5.0
    poll_unheard: float = 1.0
    recheck: float = 0.25
    refused: float = 1.0
    unanswered: float = 60.0
    deaf: float = 1.0
    history: tuple[float, ...] = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5)
    stop: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


DEFAULT_TIMINGS = SessionTimings()
