"""An in-memory chain for testing contracts: the real machine, executor and validation module, no network, no disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from ledger.authentication import authenticate
from ledger.blocks import Result
from ledger.codes import RefusalCode
from ledger.execution import OK, BlockExecutor, Call, CallResult, Event, Machine, Validator
from ledger.state import Entry, MemoryState, TransactionView
from ledger.values import Value, decode_value, encode_value

GAS_LIMIT = 2_000_000
DAY_MS = 86_400_000


class Chain:
    """One transaction a block. ``call`` skips signatures, nonces and roles: it tests contracts, not admission.

    Chains may share a ``machine``, which then compiles each contract only once.
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        parameters: Mapping[str, int],
        time_ms: int = 0,
        validator: Validator | None = None,
        machine: Machine | None = None,
    ) -> None:
        values: dict[str, Value] = {
            f"governance/contract/{name}": {"source": source, "sha256": "", "version": 1}
            for name, source in sources.items()
        }
        values |= {f"governance/parameter/{name}": {"value": value} for name, value in parameters.items()}
        values["governance/organisations"] = {"names": ["test"], "threshold": 1}
        self.state = MemoryState({key: Entry(0, 0, encode_value(value)) for key, value in values.items()})
        self.height = 0
        self.time_ms = time_ms
        self._machine = PythonMachine() if machine is None else machine
        self._validator = MarketValidator() if validator is None else validator
        self._executor = BlockExecutor(self._machine, self._validator)

    def put(self, key: str, value: Value) -> None:
        """Set up state directly, as genesis would."""
        self.state.apply({key: Entry(0, 0, encode_value(value))})

    def get(self, key: str) -> Any:
        entry = self.state.get(key)
        return None if entry is None else decode_value(entry.value)

    def user(self, signer: str, role: str, organisation: str = "test") -> str:
        """Register a user with a certificate that is valid for a year."""
        self.put(
            f"registry/user/{signer}",
            {
                "type": "user", "signer": signer, "name": signer, "organisation": organisation, "role": role,
                "serial": f"5e{signer}", "issuer": "test", "not_before_ms": 0,
                "not_after_ms": self.time_ms + 365 * DAY_MS, "suspended": False, "registered_height": 0,
            },
        )  # fmt: skip
        return signer

    def call(
        self, contract: str, function: str, args: Mapping[str, Value], signers: Sequence[str], gas: int = GAS_LIMIT
    ) -> CallResult:
        """One transaction in a block of its own; its writes are applied only if machine and validator agree."""
        self.height += 1
        self.time_ms += 1
        call = Call(
            contract=contract,
            function=function,
            args=dict(args),
            signers=tuple(signers),
            tx_id=f"{self.height:064x}",
            gas_limit=gas,
            block_time_ms=self.time_ms,
            height=self.height,
            index=0,
            kind="transaction",
        )
        view = TransactionView(self.state)
        result = self._machine.run(call, view)
        code = result.code
        if code == OK:
            code = self._validator.check(call, result, view) or OK
        if code != OK:
            return CallResult(code, result.message, None, result.gas_used, ())
        written = view.writes.items()
        self.state.apply({k: None if v is None else Entry(self.height, 0, v) for k, v in written})
        return result

    def submit(self, function: str, args: Mapping[str, Value], *signers: str, gas: int = GAS_LIMIT) -> CallResult:
        """A signed transaction to ``contract.function``: who may act is checked too, as the ledger does it."""
        contract, _, name = function.partition(".")
        entry = self._machine.entry(self.state, contract, name)
        refusal: str | None = None
        if entry is None:
            known = self._machine.knows(self.state, contract)
            refusal = RefusalCode.FUNCTION_UNKNOWN if known else RefusalCode.CONTRACT_UNKNOWN
        elif entry.kind != "export":
            refusal = RefusalCode.NOT_CALLABLE
        elif entry.names != ("*",):
            roles = [entry.names, *[()] * (len(signers) - 1)]
            found = (authenticate(self.state, who, may, self.time_ms) for who, may in zip(signers, roles, strict=True))
            refusal = next((code for code in found if code is not None), None)
        if refusal is not None:
            return CallResult(refusal, "", None, 0, ())
        return self.call(contract, name, args, signers, gas)

    def view(self, contract: str, function: str, args: Mapping[str, Value], signers: Sequence[str] = ()) -> CallResult:
        call = Call(contract, function, dict(args), tuple(signers), "", GAS_LIMIT, self.time_ms, self.height, 0, "view")
        return self._machine.run(call, TransactionView(self.state))

    def block(self, ms: int) -> list[tuple[str, tuple[Event, ...]]]:
        """Let time pass and make one block of the deadlines that are due; (code, events) of each."""
        self.time_ms += ms
        self.height += 1
        executed = self._executor.execute(self.state, self.height, self.time_ms, [])
        self.state.apply(executed.changes)
        return [(result.code, _events(result)) for result in executed.results]

    def advance(self, ms: int) -> list[tuple[str, tuple[Event, ...]]]:
        """Let time pass and run due deadlines, block after block until none is left; (code, events) of each."""
        found: list[tuple[str, tuple[Event, ...]]] = []
        passing = ms
        while ran := self.block(passing):
            found.extend(ran)
            passing = 0
        return found


def _events(result: Result) -> tuple[Event, ...]:
    return tuple(Event(event.contract, event.name, decode_value(event.data)) for event in result.events)
