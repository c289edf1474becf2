"""Lists that servers answer a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Asked(Protocol):
    """A request for a page."""

    page_token: str


class Page(Protocol):
    """An answer to it."""

    next_page_token: str


P = TypeVar("P", bound=Page)


class Pages(Generic[P]):
    """The pages of a list, each fetched when it is asked for.

    No generator: one that its caller leaves halfway would have to be closed.

    Args:
        request: Asks for the first page, and then in turn for each further one.
        fetch: Sends the request.
    """

    def __init__(self, request: Asked, fetch: Callable[[], Awaitable[P]]) -> None:
        self._request = request
        self._fetch = fetch
        self._more = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> P:
        if not self._more:
            raise StopAsyncIteration
        page = await self._fetch()
        self._request.page_token = page.next_page_token
        self._more = bool(page.next_page_token)
        return page
