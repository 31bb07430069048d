"""The tie to the chain: the same signed bytes until the outcome is known, and what each refusal means."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meter.block_clock import BlockClock
from meter.errors import ReadingsRefused, SubmitUnavailable
from meter.intervals import Quality, Reading
from meter.submission import GAS_MAX, ChainSubmitter, gas_limit_of
from sdk.client import AsyncClient, Outcome, Signed
from sdk.clock import Clock
from sdk.errors import Problem, Refused, SdkError, TransportError, Unavailable

READING = Reading("M", 2_000_000, 0, 7, 120, 30, Quality.ESTIMATED, 5)


class Client:
    """Stands where the SDK's client does: raises what it is given, in turn, and counts what was signed."""

    def __init__(self, *answers: SdkError | None) -> None:
        self.answers = list(answers)
        self.args: list[Mapping[str, Any]] = []
        self.submitted: list[Signed] = []
        self.gas: list[int] = []

    async def sign(self, contract: str, function: str, args: Mapping[str, Any], *, gas_limit: int) -> Signed:
        assert (contract, function) == ("settlement", "submit_readings")
        self.args.append(args)
        self.gas.append(gas_limit)
        return Signed(f"payload {len(self.args)}", ())

    async def submit(self, signed: Signed, timeout_s: float) -> Outcome:
        self.submitted.append(signed)
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer
        return cast(Outcome, SimpleNamespace(receipt=SimpleNamespace(header=SimpleNamespace(time_ms=1_000_250))))


def stopped() -> Clock:
    """A clock that stands still for the time of a test: a thousandth of a second takes it a quarter of an hour."""
    return Clock(1_000_000, 1e-6)


def submitter(client: Client) -> ChainSubmitter:
    clock = stopped()
    return ChainSubmitter(cast(AsyncClient, client), clock, BlockClock(clock))


def refused(code: str, status: int = 422) -> Refused:
    return Refused(Problem(code, "a sentence", status))


async def test_the_arguments_are_the_contracts() -> None:
    client = Client(None)
    clock = stopped()
    block_clock = BlockClock(clock)
    submit = ChainSubmitter(cast(AsyncClient, client), clock, block_clock)
    await submit([READING])
    assert client.args == [
        {
            "readings": [
                {
                    "meter": "M", "interval": 2_000_000, "epoch": 0, "sequence": 7, "import_wh": 120, "export_wh": 30,
                    "quality": "estimated",
                }
            ]
        }
    ]  # fmt: skip
    assert type(client.args[0]["readings"][0]["quality"]) is str
    assert block_clock.offset_ms == 250


async def test_an_unknown_outcome_repeats_the_same_bytes() -> None:
    client = Client(Unavailable("no quorum"), TransportError("gone"), None)
    submit = submitter(client)
    for _ in range(2):
        with pytest.raises(SubmitUnavailable):
            await submit([READING])
    await submit([READING])
    assert [signed.payload for signed in client.submitted] == ["payload 1"] * 3


@pytest.mark.parametrize(
    "code", ["EXPIRED", "NONCE_USED", "INTERVAL_NOT_OVER", "NOT_REGISTERED", "SUSPENDED", "CERTIFICATE_REVOKED"]
)
async def test_a_cause_that_passes_is_signed_again(code: str) -> None:
    client = Client(refused(code), None)
    submit = submitter(client)
    with pytest.raises(SubmitUnavailable, match=code):
        await submit([READING])
    await submit([READING])
    assert [signed.payload for signed in client.submitted] == ["payload 1", "payload 2"]


async def test_a_busy_network_is_no_refusal() -> None:
    with pytest.raises(SubmitUnavailable):
        await submitter(Client(refused("ANYTHING", 503)))([READING])


@pytest.mark.parametrize(
    ("code", "mendable"),
    [("READING_CONFLICT", False), ("SEQUENCE_NOT_RISING", False), ("NOT_YOUR_METER", True), ("NOT_FOUND", True)],
)
async def test_what_would_be_refused_again_is_refused(code: str, mendable: bool) -> None:
    with pytest.raises(ReadingsRefused) as caught:
        await submitter(Client(refused(code)))([READING])
    assert (caught.value.code, caught.value.mendable) == (code, mendable)


async def test_other_readings_are_signed_anew() -> None:
    client = Client(Unavailable("no quorum"), None)
    submit = submitter(client)
    with pytest.raises(SubmitUnavailable):
        await submit([READING, READING])
    await submit([READING])
    assert len(client.args) == 2


async def test_gas_is_declared_by_the_number_of_readings_and_grows_when_it_ran_out() -> None:
    """A reading that settles many trades costs more than the others: nothing has changed, so it is sent again."""
    client = Client(refused("OUT_OF_GAS"), refused("OUT_OF_GAS"), None, None)
    submit = submitter(client)
    for _ in range(2):
        with pytest.raises(SubmitUnavailable, match="OUT_OF_GAS"):
            await submit([READING])
    await submit([READING])
    await submit([READING, READING])
    one, two = gas_limit_of(1), gas_limit_of(2)
    assert client.gas == [one, 4 * one, 16 * one, two]
    assert gas_limit_of(100) < GAS_MAX == gas_limit_of(1, 1 << 20)


async def test_what_runs_out_of_the_most_gas_is_refused() -> None:
    """Then the gateway submits the readings one by one; the limit is small again for the first of them."""
    client = Client(*[refused("OUT_OF_GAS")] * 5, None)
    submit = submitter(client)
    readings = [READING] * 50
    with pytest.raises(SubmitUnavailable):
        await submit(readings)
    with pytest.raises(ReadingsRefused, match="OUT_OF_GAS"):
        await submit(readings)
    with pytest.raises(SubmitUnavailable):
        await submit([READING])
    assert client.gas == [gas_limit_of(50), GAS_MAX, gas_limit_of(1)]
