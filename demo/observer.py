"""The observer at the day's end: a user's own node, asked over its own REST, and believed only as far as it proves."""

from __future__ import annotations

import asyncio
import time

from demo.check import Check, Recomputed
from demo.setting import OBSERVER
from demo.world import World
from sdk.errors import ProofInvalid, SdkError

TRADES = {"v.type": "trade"}
ROWS = 100
CATCH_UP_TIMEOUT_S = 60.0
POLL_S = 0.2


async def watched(world: World, height: int, found: Recomputed | None) -> Check:
    """Whether it has followed to ``height`` without a vote, and shows from its own state database the trades that the
    chain has, each proven."""
    status = await world.cluster.status(OBSERVER)
    if status is None:
        return Check("observer", False, f"{OBSERVER} does not answer")
    votes = status.votes or not status.observer or any(each.name == OBSERVER for each in status.validators)
    try:
        shown, proven = await _trades(world, height)
    except (SdkError, ProofInvalid) as error:
        return Check("observer", False, f"{OBSERVER}: {error}")
    expected = None if found is None else _count(found)
    good = not votes and status.certified_height >= height and expected in (None, shown) and proven == shown
    detail = f"{OBSERVER} is at block {status.certified_height} and shows {shown} trades from its own state database"
    voting = "it VOTES" if votes else "it never votes"
    wanted = "" if expected in (None, shown) else f", where the chain has {expected}"
    return Check("observer", good, f"{detail}{wanted}, {proven} of them proven; {voting}")


async def _trades(world: World, height: int) -> tuple[int, int]:
    """How many trades its state database holds at ``height`` or later, and how many of them it proves."""
    client = world.client_of([OBSERVER], world.operators[0])
    deadline = time.monotonic() + CATCH_UP_TIMEOUT_S
    shown = proven = 0
    bookmark = ""
    while True:
        try:
            page = await client.query(TRADES, limit=ROWS, bookmark=bookmark, min_height=height, prove=True)
        except SdkError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(POLL_S)
            continue
        shown += len(page.rows)
        proven += sum(not row.unproven for row in page.rows)
        bookmark = page.bookmark
        if not bookmark:
            return shown, proven


def _count(found: Recomputed) -> int:
    return sum(isinstance(value, dict) and value.get("type") == "trade" for value in found.state.values())
