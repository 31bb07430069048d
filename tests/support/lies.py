"""A lying machine, as one that ran a call on another state than there is, or another call than was signed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from contract_market import MACHINE, Market

from contracts.validation import MarketValidator
from ledger.execution import OK, Call
from ledger.state import Entry, MemoryState, TransactionView
from ledger.values import Value, decode_value, encode_value


class OtherState:
    """What the machine takes for the state: the market's, but for what it makes up."""

    def __init__(self, market: Market) -> None:
        self.state = MemoryState(dict(market.chain.state.entries))

    def get(self, key: str) -> Any:
        entry = self.state.get(key)
        return None if entry is None else decode_value(entry.value)

    def put(self, key: str, value: Value) -> None:
        self.state.apply({key: None if value is None else Entry(0, 0, encode_value(value))})

    def change(self, key: str, **fields: Value) -> None:
        self.put(key, {**self.get(key), **fields})

    def edit(self, contract: str, old: str, new: str) -> None:
        """A part of a contract's source."""
        known = self.get(f"governance/contract/{contract}")
        assert old in known["source"]
        self.put(f"governance/contract/{contract}", {**known, "source": known["source"].replace(old, new)})


Forge = Callable[[dict[str, bytes | None]], None]


def verdict(
    market: Market,
    call: tuple[str, str, dict[str, Any] | list[Any]],
    signers: tuple[str, ...],
    twist: Callable[[OtherState], object] | None = None,
    *,
    said: tuple[str, dict[str, Any]] | None = None,
    forge: Forge | None = None,
) -> str | None:
    """What the validation module says of a call's result on the state that ``twist`` makes, with writes that ``forge``
    changes, when function and arguments that were signed are those of ``said``. Arguments by position are a
    deadline's."""
    contract, function, args = call
    other = OtherState(market)
    if twist is not None:
        twist(other)
    chain = market.chain

    def called(function: str, args: dict[str, Any] | list[Any]) -> Call:
        at = chain.time_ms + 1, chain.height + 1, 0
        kind: Literal["transaction", "deadline"] = "transaction" if isinstance(args, dict) else "deadline"
        return Call(contract, function, args, signers, "ab" * 32, 2_000_000, *at, kind)

    view = TransactionView(other.state)
    result = MACHINE.run(called(function, args), view)
    assert result.code == OK, (result.code, result.message)
    true = TransactionView(chain.state)
    true.writes = dict(view.writes)
    if forge is not None:
        forge(true.writes)
    return MarketValidator().check(called(*(said or (function, args))), result, true)
