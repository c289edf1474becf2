"""The agent on a host under a real systemd: installed, started, killed, hung, upgraded, rolled back, removed.

The tests tell one story, in order, on one host.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from comfymesh.client import Client, InstanceState, Result, TaskState
from comfymesh.testkit import graphs
from comfymesh.testkit.containers import CommandFailedError, Machine, Site

if TYPE_CHECKING:
    from pathlib import Path

    from tests.systemd.conftest import Howto

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

UNIT = "comfymesh-agent"
AS_AGENT = ("setpriv", "--reuid=comfymesh", "--regid=comfymesh", "--clear-groups")
STEPS = 160
"""Of 0.05 s each: more than it takes to start an agent."""


def show(host: Machine, name: str) -> str:
    """A property of the unit."""
    return host.run("systemctl", "show", f"--property={name}", "--value", UNIT).strip()


def until(look: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Look until there is something true to see."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s"
        time.sleep(0.1)
    return seen


def comfyui(host: Machine) -> dict[str, Any]:
    """The process of the ComfyUI, as the agent has written it down."""
    record = json.loads(host.run("cat", "/var/lib/comfymesh-agent/instances/gpu0/process.json"))
    host.run("test", "-d", f"/proc/{record['process']['pid']}")
    process: dict[str, Any] = record["process"]
    return process


def journal(host: Machine, *arguments: str) -> str:
    """What the journal has; of the unit, where nothing else is asked for."""
    host.run("journalctl", "--sync")  # It may be behind with what was written to it.
    return host.run("journalctl", "--no-pager", *(arguments or ("--output=cat", f"--unit={UNIT}")))


def serves(site: Site) -> bool:
    """Whether the host has an instance that can take work."""
    with Client(site.target) as client:
        states = [instance.state for node in client.nodes() for instance in node.instances]
    return bool(states) and all(state in {InstanceState.READY, InstanceState.BUSY} for state in states)


def files(host: Machine) -> set[str]:
    """Every file of the host, but for those that a running system writes by itself."""
    found = host.shell(
        r"find / -xdev \( -path /root -o -path /var/log -o -path /tmp -o -path /var/lib/systemd \) -prune -o -print"
    )
    return {line for line in found.splitlines() if "__pycache__" not in line}


@contextmanager
def running_task(site: Site) -> Iterator[Callable[[], Result]]:
    """A task that ComfyUI executes; what is yielded waits for its end."""
    with Client(site.target) as client, ThreadPoolExecutor(1) as pool:
        begun = []
        done = pool.submit(client.run, graphs.steps(STEPS, 0.05), on_progress=begun.append)
        until(lambda: any(progress.fraction > 0 for progress in begun), "progress of the task")
        yield lambda: done.result(timeout=120)


@pytest.fixture(scope="module")
def before(howto: Howto, host: Machine) -> set[str]:
    """The files of the host before the agent was installed, with what the page asks to have before."""
    howto.on_host(host, "apt-get install --yes python3-venv")
    return files(host)


@pytest.fixture(autouse=True)
def _on_a_clean_slate(before: set[str]) -> None:
    """The files are looked at before the first test."""


def test_one_command_installs_it_and_it_is_ready(howto: Howto, host: Machine, site: Site) -> None:
    howto.on_host(host, "tar --extract --file comfymesh-agent-*.tar")
    assert "the agent is ready (1.0)" in howto.on_host(host, "./comfymesh-agent-*/install.sh --settings gpu-1.env")
    assert show(host, "ActiveState") == "active"
    assert show(host, "StatusText") == "node gpu-1 takes work"
    assert show(host, "User") == "comfymesh"
    until(lambda: serves(site), "an instance that serves")


def test_a_task_runs_there(site: Site) -> None:
    with Client(site.target) as client:
        result = client.run(graphs.picture())
    assert result.task.node == "nodes/gpu-1"
    assert result.artifacts[0].data.startswith(b"\x89PNG")


def test_the_settings_are_for_root_alone_and_nothing_shows_them(howto: Howto, host: Machine, accounts: Path) -> None:
    assert host.run("stat", "--format=%a %U:%G", "/etc/comfymesh/agent.env").strip() == "600 root:root"
    with pytest.raises(CommandFailedError, match="Permission denied"):
        host.run(*AS_AGENT, "cat", "/etc/comfymesh/agent.env")
    with pytest.raises(CommandFailedError, match="Permission denied"):
        # Nor can a ComfyUI of the runtime `process`, which runs as the agent's own user, look into the agent.
        host.run(*AS_AGENT, "cat", f"/proc/{show(host, 'MainPID')}/environ")
    password = (accounts / "gpu-1.env").read_text().partition("gpu-1:")[2].partition("@")[0]
    shown = [
        howto.on_host(host, "systemctl status comfymesh-agent"),
        howto.on_host(host, "journalctl --unit comfymesh-agent --lines 20"),
        howto.on_host(host, "comfymesh-agent check"),
        journal(host, "--output=json"),
        host.run("systemctl", "show", UNIT),
        host.shell("cat /proc/[0-9]*/cmdline"),
        # A ComfyUI, whose custom nodes anybody may have written, is given none of the agent's settings.
        host.shell(f"cat /proc/{comfyui(host)['pid']}/environ"),
    ]
    assert all(shown)
    assert not any(password in text for text in shown)
    assert password in host.run("cat", "/etc/comfymesh/agent.env")


def test_the_journal_has_the_fields_of_our_logs(host: Machine) -> None:
    told = journal(host, "--output=json", "COMFYMESH_ACTION=instance_ready")
    entry = json.loads(told.splitlines()[-1])
    assert entry["MESSAGE"].startswith("instance gpu0 serves")
    assert (entry["PRIORITY"], entry["_SYSTEMD_UNIT"]) == ("6", f"{UNIT}.service")


def test_the_unit_is_hardened(host: Machine) -> None:
    assert host.run("systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}.service") == ""
    told = host.run("systemd-analyze", "security", "--no-pager", UNIT).splitlines()[-1]
    exposure = re.search(r"([0-9.]+) ", told.partition(":")[2])
    assert exposure is not None, told
    assert float(exposure[1]) < 3.0, told


def test_the_check_finds_all_well_and_says_so_to_machines(host: Machine) -> None:
    told = json.loads(host.run("comfymesh-agent", "check", "--json"))
    found = {(finding["check"], finding["outcome"]) for finding in told["findings"]}
    assert told["exit_code"] == 0
    assert found >= {(name, "OK") for name in ("settings", "nats", "clock", "process")}


def test_killed_it_is_started_again_and_adopts_its_work(host: Machine, site: Site) -> None:
    process = comfyui(host)
    with running_task(site) as end:
        host.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
        until(lambda: show(host, "NRestarts") == "1" and show(host, "ActiveState") == "active", "the agent")
        result = end()
    assert (result.task.state, result.task.attempt) == (TaskState.SUCCEEDED, 1)
    assert comfyui(host) == process
    assert "adopted a prompt" in journal(host, f"--unit={UNIT}", "COMFYMESH_ACTION=attempt_adopted")


def test_stopped_in_its_tracks_it_is_killed_by_the_watchdog(host: Machine, site: Site) -> None:
    process = comfyui(host)
    host.run("mkdir", "-p", f"/etc/systemd/system/{UNIT}.service.d")
    # Long enough for a machine that stands still for some seconds, also under the tests that follow.
    host.write(f"/etc/systemd/system/{UNIT}.service.d/test.conf", "[Service]\nWatchdogSec=10\n")
    host.shell(f"systemctl daemon-reload && systemctl restart {UNIT}")
    with running_task(site) as end:
        frozen = show(host, "MainPID")
        host.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", UNIT)
        until(lambda: show(host, "MainPID") not in {frozen, "0"} and show(host, "ActiveState") == "active", "the agent")
        # It may have been silent for so long that the node was given up on, and the task runs once more.
        assert end().task.state is TaskState.SUCCEEDED
    assert comfyui(host) == process
    assert "Watchdog timeout" in journal(host, f"--unit={UNIT}")


HANGING = """
import asyncio, time
from comfymesh.runtime import service, supervisor
from comfymesh.runtime.settings import ServiceSettings

async def serve(settings, stop):
    supervisor.ready("about to hang")
    await asyncio.sleep(0.1)
    time.sleep(600)

service.run("hanging", ServiceSettings, serve)
"""


def test_an_event_loop_that_hangs_starves_the_watchdog_and_tells_where(host: Machine) -> None:
    host.write("/root/hanging.py", HANGING)
    options = ["--property=Type=notify", "--property=WatchdogSec=5", "--unit=hanging"]
    host.run("systemd-run", *options, "/opt/comfymesh/agent/current/bin/python", "/root/hanging.py")
    until(lambda: "Result=watchdog" in host.run("systemctl", "show", "hanging"), "the watchdog")
    told = journal(host, "--unit=hanging")
    assert 'File "/root/hanging.py", line 9 in serve' in told
    host.run("systemctl", "reset-failed", "hanging")


def labels(site: Site) -> dict[str, str]:
    """The labels of the host's node."""
    with Client(site.target) as client:
        (node,) = client.nodes()
    return dict(node.labels)


def test_settings_are_read_again_under_a_running_task(howto: Howto, host: Machine, site: Site) -> None:
    agent, process = show(host, "MainPID"), comfyui(host)
    with running_task(site) as end:
        host.shell("""echo 'COMFYMESH_AGENT_LABELS={"zone": "a"}' >> /etc/comfymesh/agent.env""")
        howto.on_host(host, "systemctl reload comfymesh-agent")
        until(lambda: labels(site) == {"zone": "a"}, "the new label")
        host.shell("echo COMFYMESH_AGENT_LOOK_AHEAD=99 >> /etc/comfymesh/agent.env")
        with pytest.raises(CommandFailedError):
            host.run("systemctl", "reload", UNIT)
        assert end().task.attempt == 1
    assert "COMFYMESH_AGENT_LOOK_AHEAD: Input should be less" in journal(host)
    assert labels(site) == {"zone": "a"}
    assert (show(host, "MainPID"), comfyui(host)) == (agent, process)
    # The agent's own user may not read the settings, and what was brought to it is gone.
    assert host.run("ls", "-A", "/run/comfymesh-agent") == ""
    host.shell("sed -i '/LOOK_AHEAD/d; /LABELS/d' /etc/comfymesh/agent.env")
    host.run("systemctl", "reload", UNIT)
    until(lambda: labels(site) == {}, "no label")


def test_running_it_again_changes_nothing(host: Machine) -> None:
    before, agent = files(host), show(host, "MainPID")
    told = host.shell("cd /root && ./comfymesh-agent-*/install.sh --settings gpu-1.env")
    assert "version 1.0 is installed already" in told
    assert (files(host), show(host, "MainPID")) == (before, agent)


def test_settings_that_a_new_version_can_not_read_leave_the_old_one_alone(host: Machine) -> None:
    host.shell("cd /root && mv comfymesh-agent-1.0*/ comfymesh-agent-2.0 && echo 2.0 > comfymesh-agent-2.0/VERSION")
    agent = show(host, "MainPID")
    # What an installation leaves that was killed in its midst.
    host.shell("mkdir -p /opt/comfymesh/agent/versions/2.0/bin && touch /opt/comfymesh/agent/versions/2.0/bin/python")
    host.shell("echo COMFYMESH_AGENT_LOOK_AHEAD=99 >> /etc/comfymesh/agent.env")
    with pytest.raises(CommandFailedError, match="COMFYMESH_AGENT_LOOK_AHEAD: Input should be less"):
        host.run("/root/comfymesh-agent-2.0/install.sh")
    host.shell("sed -i /LOOK_AHEAD/d /etc/comfymesh/agent.env")
    assert show(host, "MainPID") == agent
    assert host.run("readlink", "/opt/comfymesh/agent/current").strip() == "versions/1.0"


def test_it_is_upgraded_under_a_running_task_and_rolled_back_under_another(
    howto: Howto, host: Machine, site: Site
) -> None:
    process = comfyui(host)
    with running_task(site) as end:
        host.shell("echo COMFYMESH_AGENT_DRAIN_SECONDS=0 >> /etc/comfymesh/agent.env")
        host.run("systemctl", "restart", UNIT)
        host.shell("mkdir /root/old && mv /root/*.tar /root/old")
        assert "the agent is ready (2.0)" in howto.on_host(host, "./comfymesh-agent-*/install.sh")
        assert end().task.attempt == 1
    with running_task(site) as end:
        assert "the agent is ready (1.0)" in howto.on_host(host, "/opt/comfymesh/agent/current/install.sh rollback")
        assert end().task.attempt == 1
    assert host.run("readlink", "/opt/comfymesh/agent/previous").strip() == "versions/2.0"
    assert comfyui(host) == process


def test_the_check_says_what_to_mend(host: Machine) -> None:
    host.shell("sed 's/nats.internal:4222/nats.internal:1/' /etc/comfymesh/agent.env > /root/wrong.env")
    told, _, code = host.shell("comfymesh-agent check --json --settings /root/wrong.env || echo code $?").rpartition(
        "code"
    )
    (nats,) = [finding for finding in json.loads(told)["findings"] if finding["check"] == "nats"]
    assert (code.strip(), nats["outcome"]) == ("1", "FAILED")
    assert "COMFYMESH_NATS_URL" in nats["mend"]


def test_it_waits_for_nats_as_long_as_it_takes(host: Machine) -> None:
    host.shell("sed -i s/nats.internal:4222/nats.internal:1/ /etc/comfymesh/agent.env")
    host.run("systemctl", "restart", "--no-block", UNIT)
    until(lambda: (show(host, "ActiveState"), show(host, "StatusText")) == ("activating", "starting"), "the agent")
    host.shell("sed -i s/nats.internal:1/nats.internal:4222/ /etc/comfymesh/agent.env")
    host.run("systemctl", "restart", UNIT)
    assert show(host, "ActiveState") == "active"


def test_uninstalled_it_leaves_nothing(howto: Howto, host: Machine, before: set[str]) -> None:
    process = comfyui(host)
    assert "nothing is left" in howto.on_host(host, "/opt/comfymesh/agent/current/install.sh uninstall")
    assert files(host) - before == set()
    with pytest.raises(CommandFailedError):
        host.run("test", "-d", f"/proc/{process['pid']}")
    with pytest.raises(CommandFailedError):
        host.run("id", "comfymesh")
    assert show(host, "LoadState") == "not-found"


def test_its_credentials_are_taken_away(howto: Howto, accounts: Path) -> None:
    howto.in_checkout(".venv/bin/python deploy/nats/accounts.py accounts --remove gpu-1", accounts)
    assert "gpu-1" not in (accounts / "accounts.conf").read_text()


def test_every_command_of_the_page_was_run(howto: Howto) -> None:
    assert howto.untried == []
