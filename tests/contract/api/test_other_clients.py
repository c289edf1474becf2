"""docs/clients.md as it stands: the api from the command line of others."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

from comfymesh.testkit.apis import BOOTSTRAP, LocalApi

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "clients.md").read_text()
COMMANDS = re.findall(r"^\$ (buf curl .*?)$", PAGE.replace("\\\n", ""), re.MULTILINE)


async def test_there_are_commands() -> None:
    assert len(COMMANDS) == 3


@pytest.mark.parametrize("command", COMMANDS)
async def test_buf_curl_works_as_the_page_says(api: LocalApi, command: str) -> None:
    buf = Path(sys.executable).with_name("buf")
    text = command.replace("buf curl", f"{buf} curl", 1).replace("127.0.0.1:7700", api.target)
    ran = await asyncio.create_subprocess_shell(
        text, cwd=ROOT, env={"KEY": BOOTSTRAP, "HOME": "/tmp"}, stdout=-1, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await ran.communicate()
    assert ran.returncode == 0, output.decode()
