"""Validity and exactly-once: what is executed was asked for, and takes effect one time."""

from __future__ import annotations

from collections import Counter

from ledger.ledger import TransactionInfo
from ledger.values import decode_value
from sim import contract
from sim.clients import SimClient
from sim.world import World


def chain_of(world: World) -> dict[int, list[TransactionInfo]]:
    """The transactions of every block that some honest node holds. That the nodes agree is another checker's."""
    found: dict[int, list[TransactionInfo]] = {}
    for node in sorted(world.honest, key=lambda node: -node.ledger.height):
        for height in range(node.ledger.first_height, node.ledger.height + 1):
            if height not in found:
                found[height] = node.ledger.transactions_of(height)
    return found


def validity(world: World) -> list[str]:
    """Only what a client submitted is ever executed, and nothing of one whose certificate is revoked."""
    strange = sorted(
        height for height, infos in chain_of(world).items() if any(info.tx_id not in world.submitted for info in infos)
    )
    faults = [f"validity: a transaction that nobody submitted, at heights {strange}"] if strange else []
    return faults + [fault for client in world.clients for fault in _barred(world, client)]


def _barred(world: World, client: SimClient) -> list[str]:
    """Nothing takes effect above the block as of which its signer's certificate is revoked."""
    if client.barred_from is None:
        return []
    signer, chain = client.key.signer, chain_of(world)
    late = sorted(
        height
        for height, infos in chain.items()
        if height > client.barred_from
        for info in infos
        if info.result.gas_used and signer in info.payload["signers"]
    )
    what = f"client {client.number}'s certificate was revoked at height {client.barred_from}"
    return [f"validity: {what}, and took effect at heights {late}"] if late else []


def exactly_once(world: World) -> list[str]:
    """No transaction takes effect twice, and the counter that clients add one to says the same at each node."""
    chain = chain_of(world)
    effects = Counter(info.tx_id for infos in chain.values() for info in infos if info.result.gas_used)
    twice = [tx_id.hex()[:12] for tx_id, count in effects.items() if count > 1]
    faults = [f"exactly once: {twice} took effect more than once"] if twice else []
    ones = [at for at, infos in chain.items() for info in infos if info.result.code == "OK" and _adds_one(info)]
    for node in world.honest:
        height = node.ledger.height
        expected = sum(1 for at in ones if at <= height)
        entry = node.ledger.reader().get(contract.CELL_KEY + contract.TOTAL)
        total = decode_value(entry.value)["value"] if entry is not None else 0
        if total != expected:
            faults.append(f"exactly once: node {node.place} counts {total} at height {height} for {expected} additions")
    return faults


def _adds_one(info: TransactionInfo) -> bool:
    function, cell = info.payload["function"], info.args.get("cell")
    return bool(function == "add" and cell == contract.TOTAL)
