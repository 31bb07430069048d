"""Clients that are a nuisance: requests with something wrong, and old ones sent again."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from ca.keys import SigningKey
from ledger.codes import Refusal
from ledger.envelope import Envelope, envelope_from_text
from ledger.genesis import Genesis

if TYPE_CHECKING:
    from sim.world import World

BAD_EVERY_MS = 20
FAULTS: tuple[dict[str, Any], ...] = (
    {"chain": "00" * 32},
    {"channel": "other"},
    {"nonce": -1},
    {"nonce": 1 << 40},
    {"expires_at_height": 0},
    {"gas_limit": 0},
    {"contract": "nothing"},
    {"signers": ["ab" * 32]},
)
"""Fields of a request that make it one that no node may order."""


def send_bad_requests(world: World, until_ms: int) -> None:
    """To every node one bad request, again and again."""
    bad, chance = bad_requests(world), world.chance_of("bad requests")

    def send() -> None:
        for node in world.nodes:
            node.submit(chance.choice(bad), world.governor)
        if world.now_ms < until_ms:
            world.later(BAD_EVERY_MS, send)

    send()


def send_again(world: World) -> None:
    """Everything that clients have made so far, to every node."""
    for envelope in list(world.made):
        for node in world.nodes:
            world.later(1, partial(node.submit, envelope, world.governor))


def bad_requests(world: World) -> list[Envelope]:
    """Each with one thing wrong, of a registered client that does nothing else: its last fields and its signature."""
    own, other = world.stage.operators[-1], world.stage.operators[0]
    return [envelope for item in bad_texts(world.genesis, own, other) for envelope in _envelopes(*item)]


def bad_texts(genesis: Genesis, own: SigningKey, other: SigningKey) -> list[tuple[str, bytes, bytes]]:
    """(payload, public key, signature), each with one thing wrong."""
    good = {
        "v": 1,
        "chain": genesis.chain_id.hex(),
        "channel": genesis.channel,
        "signers": [own.signer],
        "contract": "cells",
        "function": "add",
        "args": {"cell": "total", "amount": 1},
        "nonce": 0,
        "expires_at_height": 100_000,
        "gas_limit": 1_000_000,
    }
    texts = [json.dumps({**good, **fault}) for fault in FAULTS]
    bad = [(text, own.public_key, own.sign(text.encode())) for text in texts]
    text = json.dumps(good)
    bad += [(text, own.public_key, other.sign(text.encode())), (text, own.public_key, own.sign(b"something else"))]
    return bad


def _envelopes(text: str, key: bytes, signature: bytes) -> list[Envelope]:
    """The envelope, unless its very shape is refused, at any door."""
    try:
        return [envelope_from_text(text, [(key, signature)])]
    except Refusal:
        return []
