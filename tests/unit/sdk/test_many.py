"""Many transactions side by side: in order, bounded, and one that fails stops none of the others."""

from __future__ import annotations

import asyncio

import pytest

from sdk.calling import Call
from sdk.errors import Problem, Refused, SdkError
from sdk.many import in_order


def calls(count: int) -> list[Call]:
    return [Call("market", "cancel_order", {"order": str(number)}) for number in range(count)]


async def test_outcomes_come_in_the_order_of_the_calls_however_long_each_takes() -> None:
    released = [asyncio.Event() for _ in range(4)]

    async def do(call: Call) -> int:
        number = int(call.args["order"])
        if number < 3:
            await released[number + 1].wait()
        released[number].set()
        return number

    told = [(call.args["order"], outcome) async for call, outcome in in_order(calls(4), do, 4)]
    assert told == [("0", 0), ("1", 1), ("2", 2), ("3", 3)]


async def test_one_that_is_refused_is_told_in_its_place() -> None:
    async def do(call: Call) -> str:
        if call.args["order"] == "1":
            raise Refused(Problem("NOT_OPEN", "A sentence."))
        return "done"

    told = [outcome async for _, outcome in in_order(calls(3), do, 2)]
    assert (told[0], told[2]) == ("done", "done")
    assert isinstance(told[1], SdkError)
    assert str(told[1]) == "NOT_OPEN: A sentence."


async def test_no_more_are_under_way_than_the_bound() -> None:
    under_way, most = 0, 0

    async def do(_: Call) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    assert len([each async for each in in_order(calls(20), do, 3)]) == 20
    assert most == 3


async def test_leaving_early_cancels_what_is_under_way() -> None:
    cancelled = 0

    async def do(call: Call) -> None:
        nonlocal cancelled
        if call.args["order"] != "0":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1
                raise

    told = in_order(calls(3), do, 3)
    await anext(told)
    await asyncio.sleep(0)
    await told.aclose()  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    assert cancelled == 2


async def test_a_fault_of_our_own_is_not_taken_for_an_answer() -> None:
    async def do(_: Call) -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        _ = [each async for each in in_order(calls(1), do, 1)]
