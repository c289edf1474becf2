"""Checks of NATS: that it is there and fit, that the agent's credentials suffice, and that the clocks agree."""

from __future__ import annotations

import asyncio
import time

from comfymesh.agent.checks.findings import Finding, failed, ok, warning
from comfymesh.agent.settings import AgentSettings
from comfymesh.bus.port import BusError
from comfymesh.bus.probe import NOT_MADE, REFUSED, Probe, probe
from comfymesh.bus.server import BusUnusableError
from comfymesh.runtime.connect import nats_tls

_SECONDS = 10.0
_MOST_SKEW = 2.0
"""Start deadlines are compared across hosts; what the mesh decides by itself, it decides by the server's clock."""


async def check_bus(settings: AgentSettings) -> list[Finding]:
    """Connect as the agent would, and ask for what it asks first: its work."""
    tried = f"connect to {settings.nats_url} as node {settings.agent_node}"
    try:
        async with asyncio.timeout(_SECONDS):
            found = await _probe(settings)
    except TimeoutError:
        return [failed("nats", tried, f"no connection within {_SECONDS:g} s", _MEND_ADDRESS)]
    except BusUnusableError as error:
        return [failed("nats", tried, str(error), "see docs/nats.md")]
    except BusError as error:
        return [failed("nats", tried, str(error), _MEND_ADDRESS)]
    return _judge(tried, found)


_MEND_ADDRESS = "correct COMFYMESH_NATS_URL (address, user and password), or let this host reach the server"

_MEND_ACCOUNT = (
    "compare COMFYMESH_AGENT_NODE and COMFYMESH_AGENT_OWN_ACCOUNT with the user in COMFYMESH_NATS_URL, and see that"
    " an api runs with COMFYMESH_API_DESK=true (docs/nats.md)"
)


async def _probe(settings: AgentSettings) -> Probe:
    account, tls = settings.agent_own_account, nats_tls(settings)
    return await probe(settings.nats_url, settings.agent_node, own_account=account, tls=tls)


def _judge(tried: str, found: Probe) -> list[Finding]:
    told = f"server {found.server.name} {found.server.version}"
    match found.refusal:
        case "":
            return [ok("nats", tried, f"{told}, and it hands out work"), _judge_clock(found.server_time)]
        case code if code == NOT_MADE:
            return [warning("nats", tried, f"{told}, but the mesh has no streams", "start the api and the scheduler")]
        case code if code == REFUSED:
            return [failed("nats", tried, f"{told}, but this user is handed no work of this node", _MEND_ACCOUNT)]
        case other:
            return [failed("nats", tried, f"{told}, but it refuses: {other}", "see docs/nats.md")]


def _judge_clock(server_time: float) -> Finding:
    skew = time.time() - server_time
    tried = "compare this host's clock with the NATS server's"
    if abs(skew) > _MOST_SKEW:
        return warning("clock", tried, f"they differ by {skew:+.1f} s", "keep both in time, for instance with chrony")
    return ok("clock", tried, f"they agree within {_MOST_SKEW:g} s")
