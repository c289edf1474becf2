"""What reflection tells of the contract."""

from __future__ import annotations

from typing import Any, cast

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

_POOL = descriptor_pool.Default()


class _Symbols:
    """All that protobuf knows, and methods by their names: of those it knows none, and grpcurl's `describe` asks."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever reflection asks of a pool
        return getattr(_POOL, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802  # as the pool calls it
        """The file that says what a name means.

        Raises:
            KeyError: none does.
        """
        service, _, method = symbol.rpartition(".")
        try:
            return _POOL.FindFileContainingSymbol(symbol)
        except KeyError:
            found = _POOL.FindServiceByName(service)
            found.methods_by_name[method]  # or there is no such method
            return found.file


def symbols() -> DescriptorPool:
    """What reflection looks names up in."""
    return cast("DescriptorPool", _Symbols())
