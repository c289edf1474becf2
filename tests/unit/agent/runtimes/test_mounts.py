"""No container sees a folder of the system, whatever the settings say."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from comfymesh.agent.runtimes.mounts import refusal

OF_THE_SYSTEM = ("/etc", "/etc/ssh", "/proc/1", "/sys", "/dev", "/run/docker.sock", "/root/.ssh", "/var/lib/docker")
ROOTS = (PurePosixPath("/srv/models"), PurePosixPath("/mnt"))


@pytest.mark.parametrize("path", ["/srv/models", "/home/models", "/var/lib/comfymesh/models", "/opt/x"])
def test_an_ordinary_folder_may_be_mounted(path: str) -> None:
    assert refusal(PurePosixPath(path), ()) == ""


@pytest.mark.parametrize("path", [*OF_THE_SYSTEM, "/", "/var", "/var/lib", "/srv/../etc", "models", ""])
def test_a_folder_of_the_system_and_what_holds_one_may_not(path: str) -> None:
    assert refusal(PurePosixPath(path), ()) != ""
    assert refusal(PurePosixPath(path), (PurePosixPath("/"),)) != ""


@pytest.mark.parametrize("path", ["/srv/models", "/srv/models/sdxl", "/mnt/nas"])
def test_below_an_allowed_folder_it_may(path: str) -> None:
    assert refusal(PurePosixPath(path), ROOTS) == ""


@pytest.mark.parametrize("path", ["/srv", "/srv/models2", "/home/models"])
def test_beside_the_allowed_folders_it_may_not(path: str) -> None:
    assert "is not below one of /srv/models, /mnt" in refusal(PurePosixPath(path), ROOTS)
