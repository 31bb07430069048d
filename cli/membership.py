"""Changing who votes: the steps of `wattq cluster add`, `remove`, `replace`, `observe` and `handover`.

A newcomer starts as an observer, follows until it has caught up, and is then made a validator by a governance
transaction that operators of enough organisations sign. It votes from the boundary of the next epoch on. A
removed node serves until the others have taken over, and ends by itself.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from ca.keys import SigningKey
from cli.operators import certificate_der, operators_of
from cluster import Cluster, ClusterError, peer_address
from ledger.genesis import Genesis, load_genesis
from pbft.messages import Handover, Scope, encode_message
from sdk import methods
from sdk.client import AsyncClient
from sdk.errors import Refused, SdkError
from sdk.methods import NodeStatus, ValidatorRecord
from sdk.transports import connect

CHANGE_TIMEOUT_S = 1_800.0
"""For the boundary of an epoch to come: with few transactions, a window of empty blocks."""
CATCH_UP_TIMEOUT_S = 3_600.0
POLL_S = 0.1
LAG_BLOCKS_MAX = 8
"""A newcomer that is no farther behind than this has caught up."""
RETRY_S = 1.0

Say = Callable[[str], None]
T = TypeVar("T")


class Membership:
    """One network's membership. ``say`` gets a sentence about what is being waited for."""

    def __init__(self, network: Cluster, say: Say) -> None:
        self._network = network
        self._say = say
        self._genesis: Genesis = load_genesis(network.directory / "genesis.json")

    # ------------------------------------------------------------------------------------------ commands

    async def observe(self, name: str) -> NodeStatus:
        """Add a node that follows without voting, and wait until it has caught up."""
        self._network.add_node(name)
        return await self._follow(name)

    async def add(self, name: str) -> NodeStatus:
        """Add a node, or take one that follows already, and make it a validator."""
        await self._ready(name)
        validators = await self._validators()
        if name in {validator.name for validator in validators}:
            raise ClusterError(f"{name} is a validator already")
        await self._change([*validators, self._record(name)])
        return await self._votes(name)

    async def remove(self, name: str) -> None:
        """Take a validator out, and wait until its process has ended by itself."""
        validators = await self._validators()
        if name not in {validator.name for validator in validators}:
            raise ClusterError(f"{name} is no validator; those are {', '.join(v.name for v in validators)}")
        await self._change([validator for validator in validators if validator.name != name])
        await self._gone(name)

    async def replace(self, old: str, new: str) -> NodeStatus:
        """Put one node in the place of another, in one change."""
        await self._ready(new)
        validators = await self._validators()
        if old not in {validator.name for validator in validators}:
            raise ClusterError(f"{old} is no validator; those are {', '.join(v.name for v in validators)}")
        await self._change([self._record(new) if v.name == old else v for v in validators])
        status = await self._votes(new)
        await self._gone(old)
        return status

    async def handover(self, name: str) -> NodeStatus:
        """Have another validator lead, by an order that the operators sign."""

        async def leads() -> NodeStatus | None:
            statuses = await self._statuses()
            agreed = [s for s in statuses if s.primary == name and s.view_active]
            if 2 * len(agreed) > len(statuses[0].validators):
                return agreed[0]
            await self._order(name, statuses[0])
            return None

        return await self._until(leads, CHANGE_TIMEOUT_S, f"waiting until {name} leads", every_s=RETRY_S)

    # ---------------------------------------------------------------------------------------------- steps

    async def _ready(self, name: str) -> None:
        """There is such a node, it runs, and it has caught up."""
        if name not in self._network.names:
            self._network.add_node(name)
        await self._follow(name)
        await self._register(name)

    async def _follow(self, name: str) -> NodeStatus:
        self._network.start(name)
        self._say(f"starting {name}")
        await self._network.wait_ready(name)

        async def caught_up() -> NodeStatus | None:
            status = await self._network.status(name)
            highest = max(s.certified_height for s in await self._statuses())
            if status is None:
                return None
            if status.transfer is not None:
                staged = f"{status.transfer.staged} of {status.transfer.chunks} chunks"
                self._say(f"{name} takes the snapshot of block {status.transfer.height}: {staged}")
            else:
                self._say(f"{name} is at block {status.executed_height} of {highest}")
            near = status.executed_height + LAG_BLOCKS_MAX >= highest
            return status if near and status.whole and status.transfer is None else None

        return await self._until(caught_up, CATCH_UP_TIMEOUT_S, f"{name} is catching up")

    async def _register(self, name: str) -> None:
        """Register the node's certificate, so that the node may sign reports."""
        home = self._network.home(name)
        key = SigningKey.load(home / "node.key")
        text = base64.b64encode(certificate_der(home / "node.crt")).decode()
        async with await self._client(key) as client:
            try:
                await client.invoke("registry", "register", {"certificate_der": text})
            except Refused as refusal:
                raise ClusterError(f"{name} could not be registered: {refusal}") from None

    async def _change(self, validators: Sequence[ValidatorRecord]) -> None:
        """Have the operators make these the validators, from the next boundary on."""
        leader = (await self._statuses())[0].primary
        names = [validator.name for validator in validators]
        args: dict[str, Any] = {
            "validators": [
                {"name": v.name, "public_key": base64.b64encode(v.public_key).decode(), "address": v.address}
                for v in validators
            ],
            "first_primary": names.index(leader) if leader in names else 0,
            "at_height": 0,
        }
        first, *others = operators_of(self._network.directory, self._genesis)

        async def accepted() -> bool | None:
            async with await self._client(first) as client:
                try:
                    await client.invoke("governance", "set_validators", args, co_signers=others)
                except Refused as refusal:
                    if refusal.code != "CHANGE_PENDING":
                        raise ClusterError(f"the members' change was refused: {refusal}") from None
                    self._say("another change of membership is pending")
                    return None
            return True

        self._say(f"the operators of {1 + len(others)} organisations sign the change")
        await self._until(accepted, CHANGE_TIMEOUT_S, "the change is being ordered", every_s=RETRY_S)

        async def begun() -> bool | None:
            for status in await self._statuses():
                if [validator.name for validator in status.validators] == names:
                    return True
                if status.boundary is not None:
                    self._say(f"block {status.executed_height}; the change comes after block {status.boundary}")
            return None

        await self._until(begun, CHANGE_TIMEOUT_S, "waiting for the boundary")

    async def _votes(self, name: str) -> NodeStatus:
        async def votes() -> NodeStatus | None:
            status = await self._network.status(name)
            return status if status is not None and status.votes else None

        return await self._until(votes, CHANGE_TIMEOUT_S, f"waiting until {name} votes")

    async def _gone(self, name: str) -> None:
        """Wait until a removed node's process has ended by itself; then forget the node."""
        if name not in self._network.names:
            return

        async def gone() -> bool | None:
            return True if self._network.pid(name) is None else None

        await self._until(gone, CHANGE_TIMEOUT_S, f"waiting until {name} has handed over and ends")
        self._network.forget_node(name)

    async def _order(self, name: str, status: NodeStatus) -> None:
        """Sign a hand-over of the present view and give it to every node that takes it."""
        names = [validator.name for validator in status.validators]
        if name not in names:
            raise ClusterError(f"{name} is no validator; those are {', '.join(names)}")
        scope = Scope(self._genesis.chain_id, self._genesis.channel, status.epoch)
        order = Handover(status.view, names.index(name))
        signed = order.signed(scope)
        keys = sorted(operators_of(self._network.directory, self._genesis), key=lambda key: key.public_key)
        signatures = tuple((key.public_key, key.sign(signed)) for key in keys)
        params = methods.HandoverParams(message=encode_message(Handover(order.view, order.to, signatures)))
        async with await self._client(None) as client:
            try:
                await client.call_plain(methods.HANDOVER, params)
            except SdkError as error:
                self._say(f"not taken, trying again: {error}")

    # ---------------------------------------------------------------------------------------------- asking

    async def _statuses(self) -> list[NodeStatus]:
        """Those of the validators that answer, the ones in the newest epoch first."""
        found = await asyncio.gather(*(self._network.status(name) for name in self._network.names))
        statuses = [status for status in found if status is not None and not status.observer]
        if not statuses:
            raise ClusterError("no validator answers; start the network with `wattq cluster up`")
        return sorted(statuses, key=lambda status: (-status.epoch, -status.view, not status.view_active))

    async def _validators(self) -> list[ValidatorRecord]:
        return list((await self._statuses())[0].validators)

    def _record(self, name: str) -> ValidatorRecord:
        key = SigningKey.load(self._network.home(name) / "node.key")
        return ValidatorRecord(name, key.public_key, peer_address(self._network.section(name)))

    async def _client(self, key: SigningKey | None) -> AsyncClient:
        """A client of the validators that answer."""
        urls = [self._network.rest_url(status.name) for status in await self._statuses()]
        return AsyncClient([connect(url) for url in urls], self._genesis, key)

    async def _until(
        self, ask: Callable[[], Awaitable[T | None]], timeout_s: float, what: str, every_s: float = POLL_S
    ) -> T:
        """Ask again and again until there is an answer."""
        self._say(what)
        deadline = time.monotonic() + timeout_s
        while (answer := await ask()) is None:
            if time.monotonic() > deadline:
                raise ClusterError(f"{what}: not within {timeout_s:.0f} s")
            await asyncio.sleep(every_s)
        return answer
