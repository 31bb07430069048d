"""The pace of each address and of each signer, in token buckets: the same two for every way into a node."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from api.options import RestOptions
from sdk.errors import Problem, Refused

BURST_S = 2
"""What a caller did not use of the last seconds it may use at once."""
SECOND_NS = 1_000_000_000
CALLERS_MAX = 20_000
"""Callers whose pace is remembered; beyond it the one that was heard of longest ago is forgotten."""


class Buckets:
    """A token bucket for each caller: ``per_s`` calls a second, ``BURST_S`` seconds' worth at once."""

    def __init__(self, per_s: int, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._interval_ns = SECOND_NS // per_s
        self._now_ns = now_ns
        self._full_ns: OrderedDict[str, int] = OrderedDict()
        """When each bucket is full again: one number says how much is in it."""

    def take(self, caller: str) -> None:
        """Take one token; ``Refused`` with the time to wait if there is none."""
        now_ns = self._now_ns()
        full_ns = max(self._full_ns.get(caller, 0), now_ns) + self._interval_ns
        over_ns = full_ns - now_ns - BURST_S * SECOND_NS
        if over_ns > 0:
            wait_s = math.ceil(over_ns / SECOND_NS)
            message = f"Your pace, or your address's, is used up. Try again in {wait_s} s, and send fewer at once."
            raise Refused(Problem("TOO_MANY_REQUESTS", message, 429, retry_after_s=wait_s))
        self._full_ns[caller] = full_ns
        self._full_ns.move_to_end(caller)
        if len(self._full_ns) > CALLERS_MAX:
            self._full_ns.popitem(last=False)


class Paces:
    """Every call is its address's, and with an identity its signer's too, since sessions cost nothing."""

    def __init__(self, options: RestOptions) -> None:
        self._addresses = Buckets(options.address_calls_per_s_max)
        self._signers = Buckets(options.signer_calls_per_s_max)

    def charge(self, address: str, signer: str) -> None:
        """One call, of nobody known if ``signer`` is empty; ``Refused`` if it comes too soon."""
        self._addresses.take(address)
        if signer:
            self._signers.take(signer)
