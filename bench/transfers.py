"""Payments between a seller's and a buyer's account, to and fro."""

from __future__ import annotations

import random
from collections.abc import Mapping

from bench.market import Deal, Side, Step

AMOUNT_MAX = 1_000
"""Micro-currency: far less than either account holds, whichever way chance goes."""
GAS_LIMIT = 24_000
"""As clients declare for the market's functions; a transfer takes 1,600."""
OTHER: dict[Side, Side] = {"seller": "buyer", "buyer": "seller"}


class Transfers:
    """A transfer a deal; equal seeds give equal transfers in the same order. ``signers``: whose accounts they are."""

    def __init__(self, seed: int, signers: Mapping[Side, str]) -> None:
        self._random = random.Random(seed)
        self._signers = signers

    def deal(self) -> Deal:
        side: Side = self._random.choice(("seller", "buyer"))
        return self._transfer(side, self._random.randint(1, AMOUNT_MAX))

    def _transfer(self, side: Side, amount: int) -> Deal:
        args = {"account": self._signers[side], "to": self._signers[OTHER[side]], "amount": amount}
        yield Step(side, "transfer", args, contract="credit", gas_limit=GAS_LIMIT)
