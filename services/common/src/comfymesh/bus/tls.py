"""TLS to NATS: whom we trust, and who we are. The files are read for each handshake, so new ones need no restart."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from comfymesh.bus.server import BusUnusableError


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files.

    Attributes:
        ca: Who signs the servers' certificates; empty for those that the system trusts.
        certificate: Our certificate, where servers want one.
        key: Its private key.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""

    def context(self) -> ssl.SSLContext:
        """For one handshake.

        Raises:
            OSError: a file can't be used (ssl.SSLError is one).
        """
        context = ssl.create_default_context(cafile=self.ca or None)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key, _no_password)
        return context

    def check(self) -> None:
        """Look whether the files can be used now.

        Raises:
            BusUnusableError: they can't.
        """
        try:
            self.context()
        except OSError as error:
            message = (
                "the files of COMFYMESH_NATS_TLS_CA, COMFYMESH_NATS_TLS_CERTIFICATE and COMFYMESH_NATS_TLS_KEY can't be"
                f" used: {error}"
            )
            raise BusUnusableError("NATS_TLS_UNUSABLE", message) from error


def wanted(url: str, tls: Tls | None) -> Tls | None:
    """What to use for servers: what was set, or the system's trust where a URL begins with `tls://`."""
    return tls or (Tls() if "tls://" in url else None)


def _no_password() -> str:
    """Else OpenSSL would ask for it at the terminal."""
    raise OSError("the private key has a password; store it without one, readable by the service alone")
