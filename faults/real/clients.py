"""Clients of real nodes: one operation after another over REST, each until a verified receipt proves its end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from ca.keys import SigningKey
from faults.real.promises import Promise
from faults.real.records import Records
from ledger.genesis import Genesis
from ledger.receipts import receipt_from_json
from sdk.client import AsyncClient, Signed
from sdk.errors import Refused, TransportError, Unavailable
from sdk.methods import SUBMIT, SignatureText, SubmitParams
from sdk.transports import Transport, connect
from sim import contract as contract_
from sim.clients import BARRED_TRIES, EXPIRES_AT_HEIGHT, GAS_LIMIT, PAUSE_MS_MAX, RETRY_MS, choose
from sim.history import Operation
from sim.market_day import GAS_LIMIT as MARKET_GAS_LIMIT
from sim.market_day import Trader
from sim.nuisance import BAD_EVERY_MS, bad_texts
from sim.plan import chance_of

NUISANCE_TIMEOUT_S = 2.0
NONCES = 100
"""That each client has for itself, where several sign with one operator's key."""
IN_FLIGHT_MAX = 64
"""A nuisance's requests that have no answer yet: beyond that it waits."""


class RealClient:
    """``number``: which of the clients. What it does is in ``records``, as soon as it is asked for. ``trader``: what it
    is on a market day."""

    def __init__(
        self, number: int, key: SigningKey, urls: Sequence[str], genesis: Genesis, records: Records, seed: int,
        trader: Trader | None = None,
    ) -> None:  # fmt: skip
        self.number = number
        self.idle = False
        self.key = key
        self.made: list[Signed] = []
        self._records = records
        self._chance = chance_of(seed, f"client/{number}")
        endpoints = list(urls)
        self._chance.shuffle(endpoints)
        self._client = AsyncClient([connect(url) for url in endpoints], genesis, key)
        self._trader = trader
        keys = {} if trader is None else trader.keys
        self._signing = {name: AsyncClient([connect(endpoints[0])], genesis, key) for name, key in keys.items()}

    @property
    def is_barred(self) -> bool:
        """Whether its certificate is revoked: it waits for nothing any more."""
        return self.number in self._records.barred

    async def run(self, operations: int, workload: str) -> None:
        """So many operations of the workload, with pauses; on a market day, behind those by which it enters."""
        for _ in range(operations + (self._trader.entering if self._trader is not None else 0)):
            if self.is_barred:
                break
            await asyncio.sleep(self._records.watch.seconds(1 + self._chance.randrange(PAUSE_MS_MAX)))
            if self._trader is None:
                await self.invoke(*choose(self._chance, workload))
            else:
                await self._trade(self._trader)
        self.idle = True

    async def _trade(self, trader: Trader) -> None:
        step = trader.next()
        first, *others = step.by
        signed = await self._signing[first].sign(
            step.contract,
            step.function,
            step.arguments,
            co_signers=[trader.keys[name] for name in others],
            gas_limit=MARKET_GAS_LIMIT,
            expires_at_height=EXPIRES_AT_HEIGHT,
            nonce=NONCES * (1 + self.number) + len(self.made),
        )
        operation = await self._pursue(signed, step.function, step.arguments)
        trader.learn(step, operation.code, operation.value)

    async def invoke(
        self, contract: str, function: str, arguments: dict[str, Any], co_signers: Sequence[SigningKey] = ()
    ) -> Operation:
        """One operation, pursued until it is proven."""
        signed = await self._sign(contract, function, arguments, co_signers)
        return await self._pursue(signed, function, arguments)

    async def ask_in_vain(self) -> list[Signed]:
        """What a client signs whose certificate is revoked: nothing of it may take effect."""
        self.made += [
            await self._sign(contract_.NAME, "add", {"cell": contract_.TOTAL, "amount": 1}, (), ahead)
            for ahead in range(BARRED_TRIES)
        ]
        made = self.made[-BARRED_TRIES:]
        self._records.submitted |= {sha256(signed.payload.encode()).digest() for signed in made}
        return made

    async def _sign(
        self, contract: str, function: str, arguments: dict[str, Any], co_signers: Sequence[SigningKey], ahead: int = 0
    ) -> Signed:
        """``ahead``: how many beyond the next of its nonces."""
        return await self._client.sign(
            contract,
            function,
            arguments,
            co_signers=co_signers,
            gas_limit=GAS_LIMIT,
            expires_at_height=EXPIRES_AT_HEIGHT,
            nonce=1 + len(self.made) + ahead,
        )

    async def _pursue(self, signed: Signed, function: str, arguments: dict[str, Any]) -> Operation:
        self.made.append(signed)
        tx_id = sha256(signed.payload.encode()).digest()
        records = self._records
        operation = Operation(self.number, function, arguments, tx_id, time.monotonic_ns(), asked_ms=records.watch.ms())
        records.history.append(operation)
        records.submitted.add(tx_id)
        while operation.answered is None and not self.is_barred:
            await self._try(signed, operation)
        return operation

    async def _try(self, signed: Signed, operation: Operation) -> None:
        """Ask one node after another for a while. What no receipt proves is no answer."""
        watch = self._records.watch
        try:
            outcome = await self._client.submit(signed, watch.seconds(RETRY_MS))
            code, value, height = outcome.code, outcome.value, outcome.height
            receipt = outcome.receipt
            self._records.promises.hold(Promise(receipt.certificate, receipt.boundaries))
        except Refused as refusal:
            told = refusal.problem.submission
            if told is None or told.receipt is None:
                await asyncio.sleep(watch.seconds(RETRY_MS))
                return
            code, value = refusal.code, None
            height = receipt_from_json(told.receipt).header.height
        except (Unavailable, TransportError):
            return
        operation.answered, operation.height = time.monotonic_ns(), height
        operation.waited_ms = watch.ms() - operation.asked_ms
        operation.code, operation.value = code, value

    async def close(self) -> None:
        for client in (self._client, *self._signing.values()):
            await client.close()


class Nuisance:
    """Sends nodes what nobody should."""

    def __init__(self, urls: Sequence[str], records: Records, chance: random.Random) -> None:
        self._transports = [connect(url) for url in urls]
        self._records, self._chance = records, chance
        self._waiting: set[asyncio.Task[None]] = set()

    async def send_bad_requests(self, genesis: Genesis, own: SigningKey, other: SigningKey, for_ms: int) -> None:
        """To every node one bad request, again and again."""
        bad, watch = [_params(*item) for item in bad_texts(genesis, own, other)], self._records.watch
        until_ms = watch.ms() + for_ms
        while watch.ms() < until_ms:
            for transport in self._transports:
                if len(self._waiting) < IN_FLIGHT_MAX:
                    self._send(transport, self._chance.choice(bad))
            await asyncio.sleep(watch.seconds(BAD_EVERY_MS))

    def send_again(self, made: Sequence[Signed]) -> None:
        """Everything that clients have made so far, to every node."""
        for signed in made:
            for transport in self._transports:
                self._send(
                    transport, SubmitParams(payload=signed.payload, signatures=signed.signatures, wait="accepted")
                )

    def _send(self, transport: Transport, params: SubmitParams) -> None:
        task = asyncio.create_task(_submit(transport, params))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def close(self) -> None:
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        await asyncio.gather(*(transport.close() for transport in self._transports))


def _params(text: str, public_key: bytes, signature: bytes) -> SubmitParams:
    return SubmitParams(
        payload=text, signatures=(SignatureText(public_key=public_key, signature=signature),), wait="accepted"
    )


async def _submit(transport: Transport, params: SubmitParams) -> None:
    with contextlib.suppress(Refused, TransportError):
        await transport.call(SUBMIT, params, timeout_s=NUISANCE_TIMEOUT_S)
