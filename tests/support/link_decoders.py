"""Readers of what comes over links: from replicas, nodes, clients, meters, and the proofs that light clients check."""

from __future__ import annotations

import asyncio
from functools import cache
from types import SimpleNamespace
from typing import Any

import msgspec
from decoder import Decoder, a_place, dumped, text, tree
from ledgers import ALICE, BOB, GENESIS, certificate_of, envelope, open_ledger, run_block
from pymodbus.pdu import DecodePDU

from api.routes import _told
from api.sessions import Sessions
from faults.real.control import Order
from faults.real.watch import decode_event
from ledger.block_proofs import block_proof_from_json, block_proof_to_json, verify_block_proof
from ledger.certificates import CertificateInvalid, follow
from ledger.intake import BadBatch
from ledger.layout import pack
from ledger.ledger import Ledger
from ledger.proofs import (
    ProofInvalid,
    anchor_from_json,
    key_proof_from_json,
    state_proof_from_json,
    to_json,
    verify_anchor,
    verify_key,
    verify_state_proof,
)
from ledger.receipts import ReceiptInvalid, receipt_from_json, receipt_to_json, verify_receipt
from ledger.snapshots import Checked, SnapshotInvalid, check_chunk, check_manifest
from ledger.statedb.couchdb_client import _decoded
from meter.framing import TolerantFramer
from pbft.epoch import Boundary, Epoch
from pbft.link import PROTOCOL_VERSION, Hello, Link, frame
from pbft.messages import DECODE_ERRORS, Batch, CertifiedBlock, Chunk, Manifest, encode_batch
from sdk import wire
from sdk.errors import UNREADABLE, Refused, TransportError
from sdk.methods import METHODS, SignatureText
from sdk.replacement import PREFIX, Replacement, ReplacementOrder, order_of, replacement_of
from sdk.socket_connection import SocketConnection
from sdk.streaming import _read_message, read_reply
from sdk.transports import HttpTransport

NAMES = sorted(METHODS)


# -------------------------------------------------------------------------------------- between replicas


class _Owner:
    """Takes whatever comes."""

    hello = Hello(PROTOCOL_VERSION, b"c" * 32, "main", b"k" * 65)

    def opened(self, link: Link) -> str:
        return ""

    def introduced(self, link: Link, hello: Hello) -> str:
        link.peer = hello.key
        return ""

    def received(self, link: Link, data: bytes) -> None:
        assert data is not None

    def writable(self, link: Link) -> None: ...

    def closed(self, link: Link, reason: str) -> None: ...


def _linked(data: bytes) -> object:
    async def receive() -> None:
        link = Link(_Owner(), None)
        for start in range(0, len(data), 4_096):
            link.data_received(data[start : start + 4_096])
        link.connection_lost(None)

    return asyncio.run(receive())


def _hellos() -> list[bytes]:
    hello = Hello(PROTOCOL_VERSION, b"c" * 32, "main", b"p" * 65)
    return [frame(msgspec.msgpack.encode(hello)) + frame(b"a frame") * 2]


@cache
def a_ledger() -> Ledger:
    """A chain of a few blocks, certified."""
    ledger = open_ledger(a_place())
    for number in range(GENESIS.limits.checkpoint_interval_blocks):
        run_block(ledger, envelope(nonce=number, args={"key": f"k{number}", "value": number}))
    ledger.certify([certificate_of(ledger.block(ledger.height).statement)])
    return ledger


@cache
def _proven() -> SimpleNamespace:
    """What the chain proves."""
    ledger = a_ledger()
    receipt = ledger.receipt(envelope(nonce=0, args={"key": "k0", "value": 0}).tx_id)
    block, prover, manifest = ledger.block_proof(1), ledger.prover(), ledger.manifest(0)
    assert receipt is not None
    assert block is not None
    assert prover is not None
    assert manifest is not None
    chunks = [ledger.chunk(manifest.height, index) or b"" for index in range(manifest.chunks)]
    return SimpleNamespace(
        receipt=receipt, block=block, anchor=prover.anchor, manifest=manifest, chunks=chunks,
        entries=[prover.whole(key) for key in ("box/k0", "box/absent")],
    )  # fmt: skip


def _batches() -> list[bytes]:
    return [encode_batch(Batch("main", 1_000_001, (envelope().raw, envelope(BOB).raw)))]


def _forwarded(data: bytes) -> object:
    """As the gate's thread takes what a replica passes on."""
    return a_ledger().check_envelopes([data])


def _block(data: bytes) -> object:
    """A block whose header is this."""
    block = _certified_block()
    return a_ledger().check_block(msgspec.structs.replace(block, header=data))


@cache
def _certified_block() -> CertifiedBlock:
    (block,) = a_ledger().certified_blocks(8, 8, 1 << 20)
    return block


def _boundaries() -> list[bytes]:
    epoch = msgspec.structs.replace(GENESIS.epoch, number=1, first_height=9)
    return [pack(Boundary(epoch, certificate_of(a_ledger().block(8).statement)))]


_manifest = msgspec.msgpack.Decoder(Manifest).decode


@cache
def _checked() -> Checked:
    return check_manifest(_proven().manifest, GENESIS)


@cache
def _epoch() -> Epoch:
    return verify_anchor(_proven().anchor, GENESIS)


def _chunk(data: bytes) -> object:
    index = data[0] % _proven().manifest.chunks if data else 0
    return check_chunk(Chunk(_proven().manifest.height, index, data[1:]), _checked())


# ---------------------------------------------------------------------------------- nodes and their clients


def _method(number: int) -> Any:
    return METHODS[NAMES[number % len(NAMES)]]


def _body(data: bytes) -> object:
    return _told(data[1:], _method(data[0] if data else 0))


def _answer(data: bytes) -> object:
    number, status = (*data[:2], 0, 0)[:2]
    return HttpTransport("http://node")._answer(_method(number), 200 if status % 2 else 409, data[2:])


def _answered(data: bytes) -> object:
    async def receive() -> None:
        connection = SocketConnection("node")
        connection.connection_made(SimpleNamespace(write=len, close=lambda: None))  # type: ignore[arg-type]
        connection.data_received(data)

    return asyncio.run(receive())


def _streamed(data: bytes) -> object:
    good, more = bool(data[:1] > b"\x7f"), bool(data[1:2] > b"\x7f")
    return read_reply(wire.Reply(1, good, msgspec.Raw(data[2:]), more), "node")


def _stream_samples() -> list[bytes]:
    problem = msgspec.msgpack.encode({"code": "A", "message": "b", "status": 409})
    events = msgspec.msgpack.encode([{"kind": "block", "height": 1, "data": {}}])
    return [b"\x00\x00" + problem, b"\xff\xff" + events]


@cache
def _sessions() -> Sessions:
    return Sessions(b"c" * 32, 8)


# ---------------------------------------------------------------------------------------------- meters, lab


def _ordered(data: bytes) -> object:
    order = msgspec.json.decode(data, type=ReplacementOrder)
    return replacement_of(order, "c" * 64, {ALICE.signer})


def _signed(payload: str) -> object:
    """Whoever may replace meters is believed to have signed it."""
    signature = SignatureText(public_key=ALICE.public_key, signature=ALICE.sign(PREFIX + payload.encode()))
    return replacement_of(ReplacementOrder(payload=payload, signature=signature), "c" * 64, {ALICE.signer})


def _replacement() -> Replacement:
    return Replacement(chain="c" * 64, meter="M-1", epoch=2, time_ms=1, old_import_wh=3, old_export_wh=0)


def _modbus(data: bytes) -> object:
    framer = TolerantFramer(DecodePDU(False), lambda: None)
    return framer.handleFrame(data, 1, 0)


def _modbus_samples() -> list[bytes]:
    """Registers, an exception, and who it is."""
    return [
        b"\x00\x01\x00\x00\x00\x07\x01\x03\x04\x43\x66\x00\x00",
        b"\x00\x01\x00\x00\x00\x03\x01\x83\x02",
        b"\x00\x01\x00\x00\x00\x0d\x01\x2b\x0e\x01\x01\x00\x00\x01\x00\x03abc",
    ]


ON_LINKS: dict[str, Decoder] = {
    "links between replicas": Decoder(_linked, (), _hellos),
    "batches": Decoder(lambda data: a_ledger().check_body(data), (BadBatch,), _batches),
    "envelopes passed on": Decoder(_forwarded, (), lambda: [envelope().raw, envelope(BOB).raw]),
    "headers of blocks": Decoder(_block, (BadBatch,), lambda: [_certified_block().header]),
    "boundaries of epochs": Decoder(lambda data: follow(GENESIS, [data]), (CertificateInvalid,), _boundaries),
    "manifests of snapshots": Decoder(
        lambda data: check_manifest(_manifest(data), GENESIS),
        (SnapshotInvalid, *DECODE_ERRORS),
        lambda: [msgspec.msgpack.encode(_proven().manifest)],
    ),
    "chunks of snapshots": Decoder(
        _chunk,
        (SnapshotInvalid,),
        lambda: [bytes([number]) + data for number, data in enumerate(_proven().chunks[:8])],
    ),
    "receipts": Decoder(
        tree(lambda claim: verify_receipt(receipt_from_json(claim), GENESIS)),
        (ReceiptInvalid,),
        lambda: dumped(receipt_to_json(_proven().receipt)),
    ),
    "proofs of state": Decoder(
        tree(lambda claim: verify_state_proof(state_proof_from_json(claim), GENESIS)),
        (ProofInvalid,),
        lambda: dumped(*map(to_json, _proven().entries)),
    ),
    "proofs of keys": Decoder(
        tree(lambda claim: verify_key(key_proof_from_json(claim), _proven().anchor, _epoch())),
        (ProofInvalid,),
        lambda: dumped(*(to_json(proof.entry) for proof in _proven().entries)),
    ),
    "proofs of blocks": Decoder(
        tree(lambda claim: verify_block_proof(block_proof_from_json(claim), GENESIS)),
        (ProofInvalid,),
        lambda: dumped(block_proof_to_json(_proven().block)),
    ),
    "anchors": Decoder(
        tree(lambda claim: verify_anchor(anchor_from_json(claim), GENESIS)),
        (ProofInvalid,),
        lambda: dumped(to_json(_proven().anchor)),
    ),
    "bodies over REST": Decoder(
        _body, (Refused,), lambda: [bytes([number]) + b'{"height":5}' for number in range(len(NAMES))]
    ),
    "answers over REST": Decoder(
        _answer, (Refused, TransportError), lambda: [b"\x01\x00" + b'{"code":"A","detail":"b"}', b"\x01\x01{}"]
    ),
    "answers over the socket": Decoder(
        _answered, (), lambda: [wire.frame(wire.Reply(1, True, msgspec.Raw(msgspec.msgpack.encode({}))))]
    ),
    "streams' answers over the socket": Decoder(_streamed, (Refused, TransportError), _stream_samples),
    "streams' messages over WebSockets": Decoder(
        text(_read_message),
        (Refused, *UNREADABLE),
        lambda: dumped({"kind": "problem", "code": "A", "detail": "b"}, {"kind": "block", "height": 1, "data": {}}),
    ),
    "tokens of sessions": Decoder(
        text(lambda token: _sessions().whose(token, 1)),
        (),
        lambda: [_sessions()._session(ALICE.signer, 5).token.encode()],
    ),
    "orders to replace meters": Decoder(
        _ordered, (Refused, *UNREADABLE), lambda: [msgspec.json.encode(order_of(_replacement(), ALICE))]
    ),
    "signed replacements": Decoder(
        lambda data: _signed(data.decode("utf-8", "replace")),
        (Refused,),
        lambda: [msgspec.json.encode(_replacement())],
    ),
    "Modbus answers": Decoder(_modbus, (), _modbus_samples),
    "orders to lab nodes": Decoder(
        lambda data: msgspec.json.decode(data, type=Order), UNREADABLE, lambda: dumped({"links": {"*": {}}})
    ),
    "what lab nodes tell": Decoder(
        decode_event, UNREADABLE, lambda: dumped({"type": "cried", "at_ns": 1, "kind": "a", "detail": "b"})
    ),
    "answers of CouchDB": Decoder(_decoded, (), lambda: dumped({"rows": [{"id": "a", "value": {"rev": "1-a"}}]})),
}
"""By what it reads."""
