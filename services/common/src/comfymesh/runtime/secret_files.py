"""Settings out of files, as secrets are handed to containers. Each file has the name of the variable it stands for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsError

VARIABLE = "COMFYMESH_SECRETS_DIR"


class SecretFileError(SettingsError):
    """A file can't be read."""


class SecretFiles(PydanticBaseSettingsSource):
    """Reads the folder that COMFYMESH_SECRETS_DIR names. What is missing or empty is left to the environment.

    The library's own source takes an empty file for an empty value, and would not let a secret that may be there stand
    before a default that always is.
    """

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        self._folder = os.environ.get(VARIABLE, "")

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The text of a setting's file; None where there is none.

        Raises:
            SecretFileError: it can't be read.
        """
        path = Path(self._folder) / f"{self.config.get('env_prefix', '')}{field_name}".upper()
        try:
            text = path.read_text().strip()
        except FileNotFoundError:
            text = ""
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise SecretFileError(f"{path}: {why}; {VARIABLE} names its folder, and this user must read it") from error
        return text or None, field_name, self.field_is_complex(field)

    def __call__(self) -> dict[str, Any]:
        """Every setting that a file tells, by name.

        Raises:
            SettingsError: a file can't be read, or is not the JSON that its setting wants.
        """
        if not self._folder:
            return {}
        found = dict[str, Any]()
        for name, field in self.settings_cls.model_fields.items():
            value, key, is_complex = self.get_field_value(field, name)
            if value is not None:
                found[key] = self._parsed(name, field, value, is_complex=is_complex)
        return found

    def _parsed(self, name: str, field: FieldInfo, value: str, *, is_complex: bool) -> Any:  # noqa: ANN401  # JSON
        try:
            return self.prepare_field_value(name, field, value, is_complex)
        except ValueError:
            raise SettingsError(f"the file of {name} in {VARIABLE} can't be parsed") from None
