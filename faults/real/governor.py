"""Operators of a lab's real network: they change validators and hand the lead over, as the timeline says."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Sequence
from typing import Any

from ca.keys import SigningKey
from cluster import peer_address
from faults.real.clients import RealClient
from faults.real.lab import Lab
from faults.real.stage import Stage
from pbft.messages import Handover, Scope, encode_message
from sdk.client import AsyncClient
from sdk.errors import SdkError
from sdk.methods import HANDOVER, HandoverParams
from sdk.transports import connect

NUMBER = 99
"""Its number among clients."""
RETRY_MS = 500
TRIES_MAX = 20


class Governor:
    """Acts with as many operators' keys as governance takes."""

    def __init__(self, stage: Stage, lab: Lab, seed: int) -> None:
        self._stage, self._lab = stage, lab
        self._urls = [stage.cluster.rest_url(name) for name in stage.cluster.names]
        self.client = RealClient(NUMBER, stage.operators[0], self._urls, stage.genesis, lab.records, seed)
        self.boundary = 0
        """The first height of which a change that was ordered has to be executed."""
        self.members: frozenset[int] = frozenset(range(stage.validators))
        """Whose places are validators', once what was ordered is in force."""

    async def propose(self, places: Sequence[int], first: int) -> None:
        """Have these be the next validators; the one at place ``first`` of them leads."""
        self._lab.retiring = True
        validators = [self._validator(place) for place in places]
        args: dict[str, Any] = {"validators": validators, "first_primary": first, "at_height": 0}
        operation = await self.client.invoke("governance", "set_validators", args, co_signers=self._stage.operators[1:])
        if operation.code == "OK":
            self.boundary, self.members = int(operation.value) + 1, frozenset(places)

    async def revoke(self, serial: str) -> int | None:
        """Have a certificate revoked; the block as of which it is, or None if it was not to be."""
        args = {"serial": serial, "reason": "lab"}
        operation = await self.client.invoke("governance", "revoke", args, co_signers=self._stage.operators[1:])
        return operation.height if operation.code == "OK" else None

    def _validator(self, place: int) -> dict[str, str]:
        name = self._lab.names[place]
        key = SigningKey.load(self._lab.home(place) / "node.key").public_key
        address = peer_address(self._stage.cluster.section(name))
        return {"name": name, "public_key": base64.b64encode(key).decode(), "address": address}

    async def hand_over(self, to: int) -> None:
        """Order that replica ``to`` leads, in the view that most honest nodes are in, until one takes the order."""
        genesis, records = self._stage.genesis, self._lab.records
        keys = sorted(self._stage.operators, key=lambda key: key.public_key)
        async with AsyncClient([connect(url) for url in self._urls], genesis) as client:
            for _ in range(TRIES_MAX):
                seen = records.latest[records.honest[0]]
                order = Handover(seen.view, to)
                signed = order.signed(Scope(genesis.chain_id, genesis.channel, seen.epoch))
                signatures = tuple((key.public_key, key.sign(signed)) for key in keys)
                with contextlib.suppress(SdkError):
                    message = encode_message(Handover(order.view, to, signatures))
                    await client.call_plain(HANDOVER, HandoverParams(message=message))
                    return
                await asyncio.sleep(records.watch.seconds(RETRY_MS))

    async def close(self) -> None:
        await self.client.close()
