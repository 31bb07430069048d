"""A ledger without a network: a genesis of four validators, a machine of a few lines, envelopes, certified blocks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ca.keys import SigningKey
from ledger.envelope import Envelope, envelope_from_text
from ledger.execution import DEADLINE_PREFIX, OK, Call, CallResult, EntryPoint, Event
from ledger.genesis import Genesis, GenesisLimits, GenesisValidator
from ledger.ledger import Ledger
from ledger.runner import Ran
from ledger.state import Entry, StateReader, TransactionView
from ledger.storage import disk_storage
from ledger.values import Value, encode_value
from pbft.disk import DiskFiles
from pbft.messages import (
    NULL_DIGEST,
    Batch,
    ExecutionCertificate,
    Scope,
    Statement,
    batch_digest,
    encode_batch,
    statement_bytes,
)

START_MS = 1_000_000
YEAR_MS = 365 * 86_400_000
VALIDATORS = tuple(SigningKey.from_seed(b"validator" + bytes([index])) for index in range(4))
ALICE, BOB, CAROL = (SigningKey.from_seed(name) for name in (b"alice", b"bob", b"carol"))


def make_genesis(**changes: Any) -> Genesis:
    parts: dict[str, Any] = {
        "network": "test",
        "channel": "main",
        "lab": False,
        "time_ms": START_MS,
        "validators": tuple(
            GenesisValidator(f"node{index + 1}", key.public_key) for index, key in enumerate(VALIDATORS)
        ),
        "roots": (),
        "users": (),
        "parameters": {"grid_price": 100},
        "contracts": {"box": "# the machine below knows what it does"},
        "limits": GenesisLimits(40_960, 500, 1_000_000, 100_000_000, 8, 16),
    }
    return Genesis(**{**parts, **changes})


GENESIS = make_genesis()


def payload_of(keys: Sequence[SigningKey], **changes: Any) -> dict[str, Any]:
    """The fields of a payload; ``changes`` replace single ones."""
    return {
        "v": 1,
        "chain": GENESIS.chain_id.hex(),
        "channel": "main",
        "signers": [key.signer for key in keys],
        "contract": "box",
        "function": "put",
        "args": {"key": "a", "value": 1},
        "nonce": 0,
        "expires_at_height": 1_000,
        "gas_limit": 1_000,
        **changes,
    }


def envelope(*signers: SigningKey, **changes: Any) -> Envelope:
    """An envelope signed by ``signers`` (Alice, if there are none)."""
    keys = signers or (ALICE,)
    text = json.dumps(payload_of(keys, **changes))
    return envelope_from_text(text, [(key.public_key, key.sign(text.encode())) for key in keys])


def user_value(key: SigningKey, role: str, **changes: Any) -> dict[str, Value]:
    """What the registry holds of somebody."""
    return {
        "type": "user",
        "signer": key.signer,
        "role": role,
        "serial": "5e" + key.signer[:8],
        "not_before_ms": 0,
        "not_after_ms": START_MS + YEAR_MS,
        "suspended": False,
        **changes,
    }


class BoxMachine:
    """One contract, ``box``: puts, deletes, plants under any key, fails after a write, schedules. A call is 10 gas."""

    entries: Mapping[str, tuple[str, tuple[str, ...]]] = {
        "put": ("export", ("*",)),
        "delete": ("export", ("*",)),
        "fail": ("export", ("*",)),
        "plant": ("export", ("*",)),
        "later": ("export", ("*",)),
        "enter": ("export", ("*",)),
        "sell": ("export", ("seller",)),
        "inner": ("internal", ("market",)),
        "due": ("deadline", ()),
        "look": ("view", ()),
    }

    def __init__(self) -> None:
        self.deadline_gas = 10

    def knows(self, reader: StateReader, contract: str) -> bool:
        return contract == "box"

    def entry(self, reader: StateReader, contract: str, function: str) -> EntryPoint | None:
        if contract != "box" or function not in self.entries:
            return None
        kind, names = self.entries[function]
        parameters = ("certificate_der",) if function == "enter" else ()
        return EntryPoint(contract, function, kind, names, parameters)  # type: ignore[arg-type]  # one of the four

    def run(self, call: Call, view: TransactionView) -> CallResult:
        args: Any = call.args
        if call.function in ("put", "sell"):
            view.put("box/" + args["key"], encode_value(args["value"]))
            return CallResult(OK, "", args["value"], 10, (Event("box", "put", {"key": args["key"]}),))
        if call.function == "plant":
            for key, value in args.items():
                view.put(key, encode_value(_widened(value)))
            return CallResult(OK, "", 2**200, 10, ())
        if call.function == "delete":
            view.delete("box/" + args["key"])
            return CallResult(OK, "", None, 10, ())
        if call.function == "later":
            for number in range(args["count"]):
                place = f"{args['at_ms']:015d}/{call.height:012d}/{call.index:05d}/{number:03d}"
                what = {"contract": "box", "function": "due", "args": [number]}
                view.put(DEADLINE_PREFIX + place, encode_value(what))
            return CallResult(OK, "", None, 10, ())
        if call.function == "due":
            view.put(f"box/due/{args[0]}", encode_value(call.block_time_ms))
            return CallResult(OK, "", args[0], self.deadline_gas, ())
        if call.function == "look":
            return CallResult(OK, "", [2**60, args], 10, ())
        view.put("box/spoilt", encode_value(True))
        return CallResult("NO", "The box says no.", None, 10, ())


def _widened(value: Value) -> Value:
    """Decimal text as a number, since a payload holds none of 2^53 or more."""
    if isinstance(value, dict):
        return {key: _widened(item) for key, item in value.items()}
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class Approves:
    """A validation module that is content; set ``code`` and it is not."""

    code: str | None = None

    def check(self, call: Call, result: CallResult, view: TransactionView) -> str | None:
        return self.code


def open_ledger(directory: Path, genesis: Genesis = GENESIS, machine: BoxMachine | None = None) -> Ledger:
    return Ledger(disk_storage(directory, DiskFiles(directory)), genesis, machine or BoxMachine(), Approves())


def run_block(ledger: Ledger, *envelopes: Envelope, time_ms: int = 0, view: int = 0) -> Ran:
    """Execute the next block; one without envelopes and time is a null request's."""
    if not envelopes and not time_ms:
        return ledger.execute(ledger.height + 1, NULL_DIGEST, b"", view, 0)
    body = encode_batch(Batch("main", time_ms, tuple(item.raw for item in envelopes)))
    digest = batch_digest("main", time_ms, b"".join(item.hash for item in envelopes))
    return ledger.execute(ledger.height + 1, digest, body, view, 0)


def certificate_of(
    statement: Statement, senders: Sequence[int] = (0, 1, 2), genesis: Genesis = GENESIS
) -> ExecutionCertificate:
    """The statement, signed by ``senders``."""
    signed = statement_bytes(Scope(genesis.chain_id, genesis.channel, 0), statement)
    return ExecutionCertificate(0, statement, tuple((sender, VALIDATORS[sender].sign(signed)) for sender in senders))


def entries_of(values: Mapping[str, Value]) -> dict[str, Entry]:
    return {key: Entry(0, 0, encode_value(value)) for key, value in values.items()}
