"""What readers are told of blocks and transactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ledger.blocks import Header, Result, StoredBlock, decode_result
from ledger.envelope import Envelope, parse_payload
from ledger.state import Entry
from ledger.values import Value, decode_value
from pbft.messages import Statement


class BlockNotHeld(KeyError):
    """There is no such block here: it is to come, was pruned, or lies below the snapshot that the ledger began with."""

    def __init__(self, height: int, first_height: int) -> None:
        super().__init__(height)
        self.height = height
        self.first_height = first_height


@dataclass(frozen=True, slots=True)
class CommittedBlock:
    """What the commit callbacks get, on the execution thread."""

    height: int
    time_ms: int
    tx_ids: tuple[bytes, ...]
    results: tuple[Result, ...]
    changes: dict[str, Entry | None]


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """A stored block for readers."""

    header: Header
    view: int
    proposer: int
    statement: Statement
    transactions: int


@dataclass(frozen=True, slots=True)
class TransactionInfo:
    """A transaction in a block and what became of it. ``index`` counts the block's results."""

    tx_id: bytes
    height: int
    index: int
    time_ms: int
    signers: tuple[str, ...]
    payload: dict[str, Any]
    args: dict[str, Any]
    result: ResultInfo


@dataclass(frozen=True, slots=True)
class Fate:
    """Where a transaction executed, by ``index`` among the block's results, and to what end."""

    height: int
    index: int
    code: str
    message: str
    value: Value


@dataclass(frozen=True, slots=True)
class ResultInfo:
    code: str
    message: str
    gas_used: int
    value: Value
    events: tuple[tuple[str, str, Value], ...]


@dataclass(frozen=True, slots=True)
class OutcomeInfo:
    """A result of a block: a transaction's, with who signed what; or a deadline's or an upgrade's, without signers.
    ``id``: the transaction's, or the deadline's key."""

    id: bytes
    signers: tuple[str, ...]
    contract: str
    function: str
    result: ResultInfo


def outcome_infos(block: StoredBlock, envelopes: Sequence[Envelope]) -> list[OutcomeInfo]:
    """All results of a block, in order."""
    results = [decode_result(data) for data in block.results]
    found = [OutcomeInfo(each.id, (), "", "", _result_info(each)) for each in results[: block.deadlines]]
    for envelope, result in zip(envelopes, results[block.deadlines :], strict=True):
        payload = envelope.payload
        info = OutcomeInfo(result.id, payload.signers, payload.contract, payload.function, _result_info(result))
        found.append(info)
    return found


def transaction_info(block: StoredBlock, envelopes: Sequence[Envelope], index: int) -> TransactionInfo:
    """The transaction with the result at ``index`` of a block."""
    envelope = envelopes[index - block.deadlines]
    payload = msgspec.to_builtins(parse_payload(envelope.payload_bytes))
    return TransactionInfo(
        tx_id=envelope.tx_id,
        height=block.header.height,
        index=index,
        time_ms=block.header.time_ms,
        signers=envelope.payload.signers,
        payload=payload,
        args=envelope.payload.args,
        result=_result_info(decode_result(block.results[index])),
    )


def _result_info(result: Result) -> ResultInfo:
    return ResultInfo(
        code=result.code,
        message=result.message,
        gas_used=result.gas_used,
        value=decode_value(result.value),
        events=tuple((event.contract, event.name, decode_value(event.data)) for event in result.events),
    )
