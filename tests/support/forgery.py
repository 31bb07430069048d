"""What a call wrote, before it is applied, and open to forgery, as by a faulty or dishonest machine."""

from __future__ import annotations

from typing import Any, Literal

from contract_market import MACHINE, Market

from contracts.validation import MarketValidator
from ledger.execution import Call
from ledger.state import Entry, TransactionView
from ledger.values import decode_value, encode_value


class Outcome:
    """A call's real writes, for the validation module to judge once they have been changed."""

    def __init__(
        self, market: Market, contract: str, function: str, args: dict[str, Any] | list[Any], *signers: str
    ) -> None:
        """Arguments by position are a deadline's."""
        chain = market.chain
        self.market = market
        kind: Literal["transaction", "deadline"] = "transaction" if isinstance(args, dict) else "deadline"
        self.call = Call(contract, function, args, signers, "", 2_000_000, chain.time_ms + 1, chain.height + 1, 0, kind)
        self.view = TransactionView(chain.state)
        self.result = MACHINE.run(self.call, self.view)
        assert self.result.code == "OK", self.result

    def verdict(self) -> str | None:
        return MarketValidator().check(self.call, self.result, self.view)

    def apply(self) -> None:
        """Have it happen, in a block of its own."""
        assert self.verdict() is None
        chain = self.market.chain
        chain.height, chain.time_ms = self.call.height, self.call.block_time_ms
        entries = {
            key: None if data is None else Entry(chain.height, 0, data) for key, data in self.view.writes.items()
        }
        chain.state.apply(entries)

    def get(self, key: str) -> Any:
        return decode_value(self.view.get(key) or b"")

    def put(self, key: str, value: Any) -> None:
        self.view.put(key, encode_value(value))

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key, data in self.view.writes.items() if key.startswith(prefix) and data is not None)

    def change(self, prefix: str, **changes: Any) -> None:
        """Change fields of the first written record below ``prefix``; integers are added."""
        key = self.keys(prefix)[0]
        record = self.get(key)
        for name, value in changes.items():
            record[name] = record[name] + value if type(value) is int else value
        self.put(key, record)
