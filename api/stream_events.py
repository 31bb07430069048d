"""What a block tells: whose affairs its results are, and which intervals' books it changed.

All of it follows from the block's own results, and from what never changes in the documents that they name (a trade's
terms, an order's interval), so that a block tells the same whenever it is read: live, or years later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from api.headers import header_record
from api.privacy import policy_keys, signers_in
from ledger.answers import OutcomeInfo
from ledger.ledger import Ledger
from ledger.state import StateReader
from ledger.statedb.documents import narrow
from ledger.values import Value, decode_value
from sdk.methods import HeaderRecord
from sdk.streams import BlockProof, NoticeEvent, TradeEvent, TradeTerms
from sdk.wire import encode_body

MARKET, SETTLEMENT = "market", "settlement"
TRADED, REJECTED, FAILED = "traded", "rejected", "failed"
TRADE_ID_CHARS = 22
"""``<height, 12>-<index, 5>-<number, 3>``, with which the ids of its adjustments and disputes begin."""
TRADE_NAMES = ("trade", "adjustment", "dispute")
TALE_BYTES, AFFAIR_BYTES = 4_096, 512
"""What a tale takes in memory, and each of its affairs, beside their text."""
BOOKED = ("order", "listing")
"""What stands in an interval's book; an event names it where it does not name the interval."""


@dataclass(frozen=True, slots=True)
class Affair:
    """Something that happened, for those in ``named``: as a notice, and perhaps as an event of a trade; encoded."""

    named: frozenset[str]
    notice: msgspec.Raw
    trade: msgspec.Raw | None


@dataclass(frozen=True, slots=True)
class BlockTale:
    """All that a block tells. ``proof``: without boundaries; ``epoch``: its certificate's. Without ``depth`` only the
    block itself was looked at: no affairs, no intervals."""

    record: HeaderRecord
    proof: BlockProof
    epoch: int | None
    depth: bool
    intervals: tuple[int, ...]
    affairs: tuple[Affair, ...]
    size_bytes: int

    @property
    def height(self) -> int:
        return self.record.height


class Teller:
    """Tells of blocks of one ledger. Everything here blocks, and belongs into threads."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def tell(self, height: int, depth: bool) -> BlockTale:
        """The block at ``height``; ``BlockNotHeld`` if it is not here."""
        block, record = self._ledger.block(height), header_record(self._ledger, height)
        certificate = self._ledger.certificate(height)
        proof = BlockProof(msgspec.to_builtins(block.header), msgspec.to_builtins(certificate))
        epoch = None if certificate is None else certificate.epoch
        if not depth:
            return BlockTale(record, proof, epoch, False, (), (), TALE_BYTES)
        reader, outcomes = self._ledger.reader(), self._ledger.outcomes(height)
        affairs = tuple(affair for outcome in outcomes for affair in _affairs(outcome, record.time_ms, reader))
        intervals = tuple(sorted({found for outcome in outcomes for found in _intervals(outcome, reader)}))
        size_bytes = TALE_BYTES + sum(AFFAIR_BYTES + len(each.notice) + len(each.trade or b"") for each in affairs)
        return BlockTale(record, proof, epoch, True, intervals, affairs, size_bytes)


def _affairs(outcome: OutcomeInfo, time_ms: int, reader: StateReader) -> Iterator[Affair]:
    result, tx_id = outcome.result, outcome.id.hex() if outcome.signers else None
    if result.code != "OK":
        data = {"function": outcome.function} if tx_id else {"deadline": outcome.id.decode()}
        event = REJECTED if tx_id else FAILED
        notice = NoticeEvent(outcome.contract, event, time_ms, tx_id, result.code, result.message, data)
        yield Affair(frozenset(outcome.signers), _encoded(notice), None)
    for contract, event, told in result.events:
        data = narrow(told)
        trade, terms, parties = _trade(contract, event, told, reader)
        # What names nobody is told to those who signed for it.
        named = signers_in(told) | parties or frozenset(outcome.signers)
        notice = NoticeEvent(contract, event, time_ms, tx_id, "OK", "", data)
        traded = None if terms is None else _encoded(TradeEvent(trade, event, time_ms, tx_id, terms, data))
        yield Affair(named, _encoded(notice), traded)


def _trade(
    contract: str, event: str, data: Mapping[str, Value], reader: StateReader
) -> tuple[str, TradeTerms | None, frozenset[str]]:
    """The trade that an event is about, if it is one of trading or of the settlement; its parties, and who signs for
    them."""
    if event != TRADED and contract != SETTLEMENT:
        return "", None, frozenset()
    named = next((data[name] for name in TRADE_NAMES if isinstance(data.get(name), str)), "")
    trade = named[:TRADE_ID_CHARS]
    document = _document(reader, f"{SETTLEMENT}/trade/{trade}") if trade else None
    if document is None:
        return trade, None, frozenset()
    terms = msgspec.convert(document, TradeTerms)
    return trade, terms, frozenset({terms.seller, terms.buyer, *policy_keys(document)})


def _intervals(outcome: OutcomeInfo, reader: StateReader) -> Iterator[int]:
    """The intervals whose book the market has changed."""
    for contract, _, data in outcome.result.events:
        if contract != MARKET:
            continue
        if isinstance(interval := data.get("interval"), int):
            yield interval
            continue
        for kind in BOOKED:
            document = _document(reader, f"{MARKET}/{kind}/{data[kind]}") if kind in data else None
            if document is not None:
                yield document["interval"]


def _document(reader: StateReader, key: str) -> dict[str, Any] | None:
    entry = reader.get(key)
    value = None if entry is None else decode_value(entry.value)
    return value if isinstance(value, dict) else None


def _encoded(data: msgspec.Struct) -> msgspec.Raw:
    return msgspec.Raw(encode_body(data))
