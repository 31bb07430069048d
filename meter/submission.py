"""The gateway's tie to the chain: signs and submits readings through the SDK until a certificate vouches for them.

Readings become the arguments of ``settlement.submit_readings``. While an outcome is unknown the very same signed
transaction is sent again, so it can take effect once only; a new one is signed when the old one can no longer be
executed. Readings that the contract holds already, from before a crash, count as done there.
"""

from __future__ import annotations

from typing import Any

from meter.block_clock import BlockClock
from meter.buffer import Key, key_of
from meter.errors import ReadingsRefused, SubmitUnavailable
from meter.intervals import Reading
from sdk.client import AsyncClient, Signed
from sdk.clock import Clock
from sdk.errors import Refused, TransportError, Unavailable

CONTRACT = "settlement"
FUNCTION = "submit_readings"
SUBMIT_TIMEOUT_S = 15.0
GAS_BASE, GAS_READING = 20_000, 16_000
"""A reading costs about 1,900 gas, and 4,000 for each trade that it settles: this is for three of them each, with a
margin. A block takes no more than what is declared, so nobody declares much for nothing."""
GAS_GROWTH = 4
"""What a submission that ran out of gas declares the next time, as a multiple: it has changed nothing."""
GAS_MAX = 2_000_000
"""The most that a transaction may declare: five times what a reading costs that settles its meter's hundred trades."""
OUT_OF_GAS = "OUT_OF_GAS"
SIGN_AGAIN = frozenset({"EXPIRED", "NONCE_USED", "NONCE_OUT_OF_WINDOW"})
WAIT = frozenset(
    {
        "NOT_REGISTERED",
        "CERTIFICATE_NOT_YET_VALID",
        "CERTIFICATE_EXPIRED",
        "SUSPENDED",
        "ROLE_REQUIRED",
        "CERTIFICATE_REVOKED",
        "CONTRACT_UNKNOWN",
        "FUNCTION_UNKNOWN",
        "POOL_FULL",
        "INTERVAL_NOT_OVER",
    }
)
"""Refusals for a cause that passes or that an operator mends: block time behind the gateway's clock, the gateway's
certificate or registration. The readings keep."""
OF_THE_METER = frozenset({"NOT_FOUND", "NOT_YOUR_METER"})
"""Refusals for what an operator mends in the registry, of one meter: its readings wait, the others' go on."""
BUSY_STATUS = frozenset({429, 500, 503, 504})


class ChainSubmitter:
    """Call it with the readings of a submission. ``block_clock`` is told the time of each certified block."""

    def __init__(
        self, client: AsyncClient, clock: Clock, block_clock: BlockClock, timeout_s: float = SUBMIT_TIMEOUT_S
    ) -> None:
        self._client = client
        self._clock, self._block_clock = clock, block_clock
        self._timeout_s = timeout_s
        self._signed: tuple[tuple[Key, ...], Signed] | None = None
        self._growth = 1

    async def __call__(self, readings: list[Reading]) -> None:
        """Raises ``SubmitUnavailable`` when it has to be repeated, ``ReadingsRefused`` when that is of no use."""
        keys = tuple(key_of(reading) for reading in readings)
        try:
            if self._signed is None or self._signed[0] != keys:
                args = {"readings": [reading_args(reading) for reading in readings]}
                gas_limit = gas_limit_of(len(readings), self._growth)
                self._signed = (keys, await self._client.sign(CONTRACT, FUNCTION, args, gas_limit=gas_limit))
            sent_ms = self._clock.now_ms()
            outcome = await self._client.submit(self._signed[1], self._timeout_s)
        except (Unavailable, TransportError) as error:
            raise SubmitUnavailable(str(error)) from error
        except Refused as refusal:
            self._signed = None
            if refusal.code == OUT_OF_GAS and gas_limit_of(len(readings), self._growth) < GAS_MAX:
                self._growth *= GAS_GROWTH
                raise SubmitUnavailable(f"{refusal}; more gas is declared now") from refusal
            if refusal.code in SIGN_AGAIN | WAIT or refusal.status in BUSY_STATUS:
                raise SubmitUnavailable(str(refusal)) from refusal
            self._growth = 1
            raise ReadingsRefused(refusal.code, refusal.message, refusal.code in OF_THE_METER) from refusal
        self._signed, self._growth = None, 1
        self._block_clock.certified(outcome.receipt.header.time_ms, sent_ms)


def gas_limit_of(readings: int, growth: int = 1) -> int:
    """What a submission of so many readings declares."""
    return min(GAS_MAX, (GAS_BASE + GAS_READING * readings) * growth)


def reading_args(reading: Reading) -> dict[str, Any]:
    """A reading as the contract takes it."""
    return {
        "meter": reading.meter,
        "interval": reading.interval,
        "epoch": reading.epoch,
        "sequence": reading.sequence,
        "import_wh": reading.import_wh,
        "export_wh": reading.export_wh,
        "quality": str(reading.quality),
    }
