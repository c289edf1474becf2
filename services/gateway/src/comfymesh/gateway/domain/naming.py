"""How ComfyUI's names and the mesh's lead to each other. Nothing is remembered: each follows from the other."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from uuid import UUID

_PROMPT_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TASK = re.compile(r"tasks/t([0-9a-f]{32})")
_ARTIFACT = re.compile(r"(?P<task>[0-9a-f]{32})-(?P<number>0|[1-9][0-9]{0,5})(?:\.[^./\\]*)?\Z")
_ASSET = re.compile(r"([0-9a-f]{64})(?:\.[^./\\]*)?\Z")
_ANNOTATION = re.compile(r"\s?\[(input|output|temp)\]\Z")
_LONGEST_FILENAME = 128
_LONGEST_SUFFIX = 16
_UNFIT = re.compile(r"[^\w .()+,=@-]")
_SLASH = "%2F"


def is_prompt_id(text: object) -> bool:
    """Whether ComfyUI takes it: a UUID as it writes them."""
    return isinstance(text, str) and _PROMPT_ID.fullmatch(text) is not None


def task_id(prompt_id: str) -> str:
    """The task that a prompt is. It may not exist, as any name."""
    return f"t{prompt_id.replace('-', '')}"


def prompt_id(task: str) -> str | None:
    """The prompt that a task is, `tasks/{task}`; None for a task of a name that no prompt has."""
    found = _TASK.fullmatch(task)
    return str(UUID(found[1])) if found else None


def digest(content: bytes) -> str:
    """What names an asset: SHA-256 of its bytes, lowercase hex."""
    return hashlib.sha256(content).hexdigest()


def split_annotation(name: str, kind: str) -> tuple[str, str]:
    """A name without the folder that ComfyUI's front-end writes behind it, and that folder; else the given one."""
    found = _ANNOTATION.search(name)
    return (name[: found.start()], found[1]) if found else (name, kind)


def output_name(filename: str, artifact: str) -> str:
    """What an artifact is called for ComfyUI's clients, who take names of outputs for unique.

    Args:
        filename: As the instance called it: each instance counts for itself.
        artifact: `tasks/{task}/artifacts/{artifact}`.
    """
    _, task, _, number = artifact.split("/")
    stem, suffix = _split(filename)
    return f"{stem}{'' if stem.endswith('_') or not stem else '_'}{task[1:]}-{number}{suffix}"


def artifact_of(name: str) -> str | None:
    """The artifact that a name may be that of; whether it is called so is still to be looked at."""
    found = _ARTIFACT.search(name)
    return f"tasks/t{found['task']}/artifacts/{found['number']}" if found else None


@dataclass(frozen=True, slots=True)
class UploadName:
    """Where a client has put a file, or says that it has.

    Attributes:
        filename: Name without folders.
        subfolder: Folders below the folder of inputs, or empty.
    """

    filename: str
    subfolder: str = ""

    @property
    def kept(self) -> str:
        """How the mesh calls the file: without folders, which it does not take."""
        return f"{self.subfolder}/{self.filename}".lstrip("/").replace("/", _SLASH)

    @property
    def asset(self) -> str | None:
        """The asset that it says itself that it is, `assets/{sha256}`."""
        found = _ASSET.search(self.filename)
        return f"assets/{found[1]}" if found else None

    def with_content(self, sha256: str) -> UploadName:
        """The name of a file of this content: another content, another name. So names need no table."""
        stem, suffix = _split(self.filename)
        stem = stem.removesuffix(f"_{sha256}")
        room = _LONGEST_FILENAME - len(suffix) - len(sha256) - 1 - len(UploadName("", self.subfolder).kept)
        return UploadName(f"{stem[: max(room, 0)]}_{sha256}{suffix}", self.subfolder)

    def matches(self, kept: str, sha256: str) -> bool:
        """Whether a file that the mesh keeps under a name was put here."""
        return kept in {self.kept, self.with_content(sha256).kept}


def upload_name(filename: str, subfolder: str = "") -> UploadName | None:
    """A name out of a request; None where it leads out of the folder of inputs, or the mesh can't keep it."""
    parts = [part for part in f"{subfolder}/{filename}".replace("\\", "/").split("/") if part not in {"", "."}]
    if not parts or ".." in parts or f"{subfolder}{filename}".startswith("/") or filename.endswith("/"):
        return None
    parts = [_UNFIT.sub("_", part) for part in parts]
    name = UploadName(parts[-1], "/".join(parts[:-1]))
    fits = len(UploadName("", name.subfolder).kept) + 64 + _LONGEST_SUFFIX + 2 <= _LONGEST_FILENAME
    return name if fits and len(name.filename) <= _LONGEST_FILENAME else None


def _split(filename: str) -> tuple[str, str]:
    """Stem and suffix. What is very long behind a dot is none."""
    stem, dot, suffix = filename.rpartition(".")
    return (stem, f".{suffix}") if dot and stem and len(suffix) < _LONGEST_SUFFIX else (filename, "")
