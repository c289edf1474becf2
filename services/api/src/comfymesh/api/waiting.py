"""Why a task still waits, in a sentence. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from comfymesh.api.fleet import Offer

_MOST_NAMED = 3


def explain(reason: str, offers: Sequence[Offer]) -> str:
    """What the log says of a waiting task, completed by how the fleet is right now."""
    return f"{reason}; {_fleet(offers)}"


def _fleet(offers: Sequence[Offer]) -> str:
    troubled = [offer for offer in offers if offer.trouble]
    if not offers:
        return "no node reports"
    if len(troubled) < len(offers):
        serving = len(offers) - len(troubled)
        return f"{serving} of {len(offers)} instances serve, tasks ahead of it come first"
    named = "; ".join(f"{offer.node}/{offer.instance} is {offer.trouble}" for offer in troubled[:_MOST_NAMED])
    more = f"; and {len(troubled) - _MOST_NAMED} more" if len(troubled) > _MOST_NAMED else ""
    return f"no instance serves: {named}{more}"
