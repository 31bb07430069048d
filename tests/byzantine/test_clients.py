"""Faulty clients, replays, revocation and wrong clocks in the whole simulator. Rows 7, 14, 16 and 17."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from mutants import hunts

from ledger.codes import Refusal
from ledger.envelope import Envelope, envelope_from_text
from ledger.values import decode_value
from pbft.messages import Forward, encode_frame
from sim.catalogue import plan_of
from sim.checkers import check
from sim.clients import SimClient, envelope_of
from sim.node import SimNode
from sim.plan import Fault, Plan, chance_of
from sim.setting import stage_of
from sim.world import World

LATER_MS = 4_000
REFUSED = ("CERTIFICATE_REVOKED",)


def _world(plan: Plan) -> World:
    print(plan)
    return World(plan, stage_of(plan))


@pytest.mark.row(7)
@pytest.mark.parametrize("adversary", ["crash", "damage", "lying-transfer", "replay"])
@pytest.mark.parametrize("seed", range(2))
def test_every_request_sent_again_to_every_node_takes_effect_once(
    adversary: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After crashes, lost ledgers and snapshots: the client table is in the certified state."""
    seen: dict[bytes, Envelope] = {}
    submit = SimNode.submit

    def noting(node: SimNode, envelope: Envelope, client: SimClient) -> None:
        seen[envelope.tx_id] = envelope
        submit(node, envelope, client)

    monkeypatch.setattr(SimNode, "submit", noting)
    world = _world(plan_of(seed, 4, adversary))
    world.play()
    assert check(world) == []
    for envelope in list(seen.values()):
        for node in world.nodes:
            node.submit(envelope, world.clients[0])
    world.run_until(world.now_ms + LATER_MS)
    assert check(world) == []
    assert len(seen) > 20


BAD: tuple[dict[str, Any], ...] = (
    {"chain": "00" * 32},
    {"channel": "other"},
    {"nonce": -1},
    {"nonce": 1 << 40},
    {"expires_at_height": 0},
    {"gas_limit": 0},
    {"contract": "nothing"},
    {"signers": ["ab" * 32]},
)


@pytest.mark.row(14)
@pytest.mark.parametrize("seed", range(3))
def test_a_clients_bad_requests_enter_no_batch_and_start_no_view_change(seed: int) -> None:
    """To every node, from a client and forwarded by a peer: false fields, false signatures, bytes that are nothing."""
    chance = chance_of(seed, "bad requests")
    world = _world(Plan(seed, "bad requests", 4))
    world.clients[2].left = 0
    bad = _bad_requests(world)

    def spam() -> None:
        raw = bytearray(chance.choice(bad).raw)
        raw[chance.randrange(len(raw))] ^= 1 + chance.randrange(255)
        for node in world.nodes:
            node.submit(chance.choice(bad), world.clients[2])
            forward = Forward((chance.choice(bad).raw, bytes(raw)))
            node.receive(world.stage.keys[(node.place + 1) % 4].public_key, encode_frame(0, forward))
        if world.now_ms < world.plan.chaos_ms:
            world.later(20, spam)

    world.later(100, spam)
    world.play()
    assert check(world) == []
    assert {node.replica.view for node in world.nodes} == {0}


def _bad_requests(world: World) -> list[Envelope]:
    """Each with one fault. Clients 1 and 2 are told apart from the others by nothing but their signatures."""
    own, other = world.stage.operators[2], world.stage.operators[1]
    nonce = len(world.clients[2].history)
    made = envelope_of(world.genesis, own, nonce, "market", "add", {"cell": "total", "amount": 1})
    good = json.loads(made.payload_bytes)
    bad = []
    for fault in BAD:
        text = json.dumps({**good, **fault})
        bad += _envelopes(text, own.public_key, own.sign(text.encode()))
    text = json.dumps(good)
    bad += _envelopes(text, own.public_key, other.sign(text.encode()))
    bad += _envelopes(text, own.public_key, own.sign(b"something else"))
    assert len(bad) >= 6
    return bad


def _envelopes(text: str, key: bytes, signature: bytes) -> list[Envelope]:
    """The envelope, unless its shape is refused before anything else."""
    try:
        return [envelope_from_text(text, [(key, signature)])]
    except Refusal:
        return []


@pytest.mark.row(16)
@pytest.mark.parametrize("seed", range(4))
def test_a_certificate_revoked_around_a_view_change_ends_at_one_height_everywhere(seed: int) -> None:
    """Client 1's certificate is revoked; the primary dies at about that time."""
    at_ms = 900 + 100 * seed
    faults = (Fault(at_ms, "crash", ((0,),)), Fault(at_ms + 1_500, "start", ((0,),)))
    world = _world(Plan(seed, "revocation", 4, faults=faults))
    revoker, victim = world.governor, world.clients[1]
    victim.left = 40
    world.later(at_ms - 50, lambda: _revoke(world, revoker, victim))
    world.begin()
    world.run_until(world.plan.chaos_ms)
    world.calm()
    world.run_until(world.plan.chaos_ms + LATER_MS)
    assert [fault for fault in check(world) if not fault.startswith("termination")] == []
    height = revoker.history[-1].height
    assert revoker.history[-1].code == "OK"
    for node in world.nodes:
        later = _codes(node, victim, height + 1, node.ledger.height)
        assert set(later) <= set(REFUSED)
    assert _codes(world.nodes[1], victim, 1, height).count("OK") > 0
    assert victim.history[-1].answered is None or victim.history[-1].code in REFUSED
    assert world.clients[0].idle, "the others are served"


def _revoke(world: World, revoker: SimClient, victim: SimClient) -> None:
    signer = victim.key.signer
    entry = world.nodes[3].ledger.reader().get(f"registry/user/{signer}")
    assert entry is not None
    serial = decode_value(entry.value)["serial"]
    revoker.invoke("revoke", {"serial": serial, "reason": "test"}, "governance")


def _codes(node: SimNode, client: SimClient, first: int, last: int) -> list[str]:
    """The results of a client's transactions in these blocks, at one node."""
    infos = [
        info
        for height in range(max(first, node.ledger.first_height), last + 1)
        for info in node.ledger.transactions_of(height)
    ]
    return [info.result.code for info in infos if info.signers == (client.key.signer,)]


@pytest.mark.row(17)
@pytest.mark.parametrize("seed", range(4))
def test_wrong_clocks_decide_nothing(seed: int) -> None:
    world = _world(plan_of(seed, 4, "skew"))
    world.play()
    assert check(world) == []
    for node in world.nodes:
        times = [
            node.ledger.block(height).header.time_ms
            for height in range(node.ledger.first_height, node.ledger.height + 1)
        ]
        assert all(before < after for before, after in pairwise(times)), "block time grows"


@pytest.mark.row(17)
@pytest.mark.parametrize("seed", range(3))
def test_a_primary_whose_batch_is_of_tomorrow_is_replaced(seed: int) -> None:
    assert hunts.far_future(seed) == []


def test_plans_travel_as_text() -> None:
    assert msgspec.json.decode(msgspec.json.encode(plan_of(1, 4, "liars")), type=Plan) == plan_of(1, 4, "liars")
