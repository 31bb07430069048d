"""Hunts on the real ledger: snapshots that lie, and requests that come again behind one."""

from __future__ import annotations

import random

import msgspec
from governed import OPERATORS, MemoryDisk, Network, open_ledger

from ledger.codes import Refusal, RefusalCode
from ledger.ledger import Ledger
from ledger.snapshots import Pairs, encode_chunk
from pbft.messages import Chunk, Manifest
from pbft.ports import BatchFault

_read = msgspec.msgpack.Decoder(Pairs).decode


def _served() -> tuple[Network, Manifest, list[Chunk]]:
    network = Network()
    network.govern("set_parameter", name="skip_blocks", value=21)
    network.run_to(8)
    manifest = network.ledger.manifest(0)
    assert manifest is not None, "a checkpoint is certified"
    chunks = [
        Chunk(manifest.height, index, network.ledger.chunk(manifest.height, index) or b"")
        for index in range(manifest.chunks)
    ]
    return network, manifest, chunks


def _receiver(manifest: Manifest) -> Ledger:
    ledger = open_ledger(MemoryDisk())
    ledger.check_manifest(manifest)
    ledger.begin_transfer(manifest)
    return ledger


def tampered_chunks(seed: int) -> list[str]:
    """Each chunk with one entry left out, or with another entry's value: whoever checks it must refuse it."""
    chance = random.Random(seed)
    _, manifest, chunks = _served()
    ledger = _receiver(manifest)
    accepted = []
    for chunk in chunks:
        pairs = _read(chunk.data)
        place = chance.randrange(len(pairs))
        other = chance.choice(_read(chance.choice(chunks).data))[1]
        changed = [(key, other if index == place else record) for index, (key, record) in enumerate(pairs)]
        without = pairs[:place] + pairs[place + 1 :]
        for false in (without, changed):
            try:
                if false != pairs:
                    ledger.check_chunk(msgspec.structs.replace(chunk, data=encode_chunk(false)))
                    accepted.append(chunk.index)
            except BatchFault:
                pass
    return [f"snapshot: a false chunk {accepted[0]} was taken"] if accepted else []


def request_again_behind_a_snapshot(seed: int) -> list[str]:
    """A replica that began with a snapshot is offered a request that executed before it."""
    network, manifest, chunks = _served()
    old = Network().envelope(OPERATORS[:2], "governance", "set_parameter", {"name": "skip_blocks", "value": 21})
    assert network.ledger.has(old.tx_id), "the same request"
    ledger = _receiver(manifest)
    for chunk in chunks:
        ledger.check_chunk(chunk)
        ledger.stage(chunk)
    ledger.install()
    refusal = ledger.admit(old)
    refused = isinstance(refusal, Refusal) and refusal.code == RefusalCode.NONCE_USED
    return [] if refused else [f"exactly once: a request is admitted again, {refusal}"]
