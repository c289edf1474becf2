"""Contexts: named servers, with who calls them and how the line is protected. Kept in a file of the user's.

A context holds what the options of `comfymesh` hold, and stands in for those that are not given: what is given on the
command line wins over the environment, and that over the context. An API key stays in a file of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Settings = dict[str, "str | bool"]
"""Options of `comfymesh` by name, such as `target` and `tls`."""

KNOWN = ("target", "api_key", "tls", "tls_ca", "tls_certificate", "tls_key", "allow_plaintext", "preview")
_FLAGS = {"tls", "allow_plaintext"}


class ContextsError(Exception):
    """The file of contexts can't be read or written, or lacks a context."""


@dataclass(slots=True)
class Contexts:
    """All contexts.

    Attributes:
        path: Their file.
        named: Each by its name.
        current: The one that holds where none is named; empty for none.
    """

    path: Path
    named: dict[str, Settings] = field(default_factory=dict)
    current: str = ""

    def settings(self, name: str) -> Settings:
        """What a context holds.

        Raises:
            ContextsError: There is none of that name.
        """
        if name not in self.named:
            known = ", ".join(sorted(self.named)) or "none yet"
            raise ContextsError(f"There is no context {name!r} in {self.path} (there are: {known}).")
        return self.named[name]

    def remove(self, name: str) -> None:
        """Forgets a context.

        Raises:
            ContextsError: There is none of that name.
        """
        self.settings(name)
        del self.named[name]
        if self.current == name:
            self.current = ""

    def save(self) -> None:
        """Writes the file, readable for its owner alone: it says where keys are.

        Raises:
            ContextsError: It can't be written.
        """
        text = json.dumps({"current": self.current, "contexts": self.named}, indent=2) + "\n"
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            beside.touch(mode=0o600)
            beside.write_text(text, encoding="utf-8")
            beside.replace(self.path)
        except OSError as error:
            raise ContextsError(f"Can't write the contexts to {self.path}: {error}.") from error


def default_path(environment: Mapping[str, str]) -> Path:
    """Where contexts are, by the XDG base directories or `COMFYMESH_CONTEXTS`."""
    if named := environment.get("COMFYMESH_CONTEXTS"):
        return Path(named)
    base = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "comfymesh" / "contexts.json"


def load(path: Path) -> Contexts:
    """The contexts of a file; none where there is no file.

    Raises:
        ContextsError: It can't be read.
    """
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        named = {str(name): _settings(settings) for name, settings in written["contexts"].items()}
        return Contexts(path, named, str(written.get("current", "")))
    except FileNotFoundError:
        return Contexts(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        text = f"Can't read the contexts in {path}: {type(error).__name__}: {error}."
        raise ContextsError(f"{text} Mend the file, or remove it.") from error


def _settings(written: Mapping[str, object]) -> Settings:
    settings: Settings = {}
    for name, value in written.items():
        if name not in KNOWN or not isinstance(value, bool if name in _FLAGS else str):
            raise ValueError(f"{name}={value!r} is no setting of a context")
        settings[name] = value
    return settings
