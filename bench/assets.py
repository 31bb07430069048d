"""Assets of a fixed size: created, read or updated, as published workloads of Fabric do it through Caliper.

The contract is ``examples/contracts/assets.py``. Transactions are the seller's, whose the assets are; a regulator, who
may ask any view, asks.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from string import ascii_letters, digits

from bench.kinds import Kind
from bench.market import Deal, Side, Step

CONTRACT = "assets"
SOURCE = Path(__file__).resolve().parents[1] / "examples" / "contracts" / f"{CONTRACT}.py"
KNOWN = 100
"""Assets of a client that are there before its load begins, to be read and updated."""
GAS_BASE, GAS_A_BYTE = 4_000, 5
"""Of what is declared. A creation takes about 450 and 1.06 a byte, a reading less; but a long text is read only by
whoever has gas left for four times as many characters."""
CHARACTERS = ascii_letters + digits


class Assets:
    """One transaction a deal; equal seeds give equal ones in the same order.

    ``owner`` sets names apart, so that no two loads ever meet in one.
    """

    def __init__(self, seed: int, kind: Kind, owner: str, value_bytes: int, known: int = KNOWN) -> None:
        self._random = random.Random(seed)
        self._kind, self._owner, self._value_bytes, self._known = kind, owner, value_bytes, known
        self._numbers = count()

    def deal(self) -> Deal:
        return self._one(self._next())

    def first(self) -> Iterator[Step]:
        """What creates the assets that are to be there before."""
        return (self._write("create", known_name(self._owner, self._value_bytes, n)) for n in range(self._known))

    def _one(self, step: Step) -> Deal:
        yield step

    def _next(self) -> Step:
        if self._kind in (Kind.EMPTY, Kind.EMPTY_QUERY):
            asked = self._kind is Kind.EMPTY_QUERY
            return self._step("look_at_nothing" if asked else "nothing", {}, asked)
        if self._kind is Kind.ASSET_CREATE:
            return self._write("create", f"{self._owner}-{next(self._numbers)}")
        asset = known_name(self._owner, self._value_bytes, self._random.randrange(self._known))
        if self._kind is Kind.ASSET_UPDATE:
            return self._write("update", asset)
        asked = self._kind is Kind.ASSET_QUERY
        return self._step("look" if asked else "read", {"asset": asset}, asked)

    def _write(self, function: str, asset: str) -> Step:
        value = "".join(self._random.choices(CHARACTERS, k=self._value_bytes))
        return self._step(function, {"asset": asset, "value": value})

    def _step(self, function: str, args: dict[str, str], asked: bool = False) -> Step:
        gas_limit = GAS_BASE + GAS_A_BYTE * self._value_bytes
        side: Side = "regulator" if asked else "seller"
        return Step(side, function, dict(args), contract=CONTRACT, gas_limit=gas_limit, asked=asked)


def known_name(owner: str, value_bytes: int, number: int) -> str:
    return f"{owner}-of-{value_bytes}-{number}"
