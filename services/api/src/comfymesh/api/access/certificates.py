"""Certificates of the gRPC port, read again when their files change: nothing has to be started anew."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from comfymesh.runtime.errors import EXIT_CONFIGURATION, ServiceFailedError

logger = logging.getLogger(__name__)


class CertificateError(ServiceFailedError):
    """The certificate can't be used; the message says which and why."""

    reason = "CERTIFICATE_UNUSABLE"
    exit_code = EXIT_CONFIGURATION


@dataclass(frozen=True, slots=True)
class Files:
    """Where they are: PEM files. With `client_ca`, callers need a certificate that it has signed."""

    certificate: str
    key: str
    client_ca: str = ""

    @property
    def paths(self) -> list[Path]:
        """All that there are."""
        return [Path(name) for name in (self.certificate, self.key, self.client_ca) if name]


class Certificates:
    """The certificates that the next connection is greeted with.

    Files that do not go together, as in the middle of being replaced, change nothing: the last good ones stay.

    Raises:
        CertificateError: they do not go together from the beginning.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._seen = self._look()
        try:
            self._first = self._read()
        except (OSError, ValueError) as error:
            raise CertificateError(f"the certificate {files.certificate} with key {files.key}: {error}") from error

    def credentials(self) -> grpc.ServerCredentials:
        """For a port."""
        # gRPC asks on a thread of its own, before each handshake.
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            self._renewed,  # type: ignore[arg-type]  # the stubs do not know that None means no change
            require_client_authentication=bool(self._files.client_ca),
        )

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """What has changed since the last time, if anything has."""
        try:
            seen = self._look()
            if seen == self._seen:
                return None
            renewed = self._read()
        except (OSError, ValueError) as error:
            logger.warning("new certificates can't be used, the old ones stay: %s", error)
            return None
        self._seen = seen
        logger.info("certificates were read again", extra={"action": "certificates_read"})
        return renewed

    def _look(self) -> list[tuple[int, int, int]]:
        try:
            return [(s.st_ino, s.st_mtime_ns, s.st_size) for s in (path.stat() for path in self._files.paths)]
        except OSError as error:
            raise CertificateError(f"can't read a certificate: {error}") from error

    def _read(self) -> grpc.ServerCertificateConfiguration:
        # Says whether key and certificate belong together, which gRPC finds out only as handshakes fail.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._files.certificate, self._files.key, _no_password)
        trusted = None
        if self._files.client_ca:
            context.load_verify_locations(self._files.client_ca)
            trusted = Path(self._files.client_ca).read_bytes()
        pair = (Path(self._files.key).read_bytes(), Path(self._files.certificate).read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], trusted)


def _no_password() -> str:
    """Else OpenSSL would ask for it at the terminal."""
    raise ValueError("the private key has a password; store it without one, readable by the service alone")
