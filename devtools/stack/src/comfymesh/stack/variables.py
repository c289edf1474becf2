"""All environment variables of ComfyMesh, as a module that every service has: each knows those of all others too."""

from __future__ import annotations

from comfymesh.stack.configuration import SERVICES

_ELSEWHERE = """
    ALLOW_PLAINTEXT API_KEY CONTEXT CONTEXTS PREVIEW TARGET TLS TLS_CA TLS_CERTIFICATE TLS_KEY
    ALERTS BOOTSTRAP_KEY_SECRET CHANNELS GATEWAY_PORT IMAGE NATS_AUTHORIZATION_SECRET NATS_CONF NATS_URL_SECRET NODE
    PORT PORT_2 TARGETS WEBHOOK_SECRET
    FAULT_POINTS SOAK_KEY
"""
"""Variables that are no settings of services: of the command line, of compose.yaml, of tests."""

_HEAD = '''"""The names of all variables of ComfyMesh: of its services, the command line, compose.yaml, and tests.

Made by `make docs` from the classes of settings and `comfymesh.stack.variables`. Change those.
"""

from __future__ import annotations

NAMES = frozenset(
    {
'''


def names() -> set[str]:
    """Every variable."""
    settings = {name.upper() for cls in SERVICES.values() for name in cls.model_fields}
    return {f"COMFYMESH_{name}" for name in settings | set(_ELSEWHERE.split())}


def module() -> str:
    """The text of `comfymesh.runtime.known_variables`."""
    return _HEAD + "".join(f'        "{name}",\n' for name in sorted(names())) + "    }\n)\n"


def main() -> None:
    """Print the module."""
    print(module(), end="")  # noqa: T201  # that is what it is for


if __name__ == "__main__":
    main()
