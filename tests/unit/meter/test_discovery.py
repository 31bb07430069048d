"""Finding SunSpec devices by walking their models."""

from __future__ import annotations

import asyncio
import json

import pytest
from modbus import COMMON, END, MARK, device, model
from typer.testing import CliRunner

from cli.meter import app
from meter.discovery import look
from meter.errors import DeviceRefused, WrongDevice
from meter.profile import load_profile
from meter.simulation import MeterServer
from meter.simulator import SimulatedMeter
from meter.sunspec import ADDRESS_MAX, MODELS_MAX, Model, find_base, text_of, walk
from sdk.clock import Clock


class Registers:
    """A device in a dictionary, which refuses what it does not hold."""

    def __init__(self, *blocks: tuple[int, list[int]]) -> None:
        self.words = {address + i: word for address, words in blocks for i, word in enumerate(words)}
        self.asked: list[int] = []

    async def read(self, address: int, count: int) -> list[int]:
        self.asked.append(address)
        if address not in self.words:
            raise DeviceRefused(address, 2)
        return [self.words.get(address + index, 0) for index in range(count)]


async def test_the_bases_are_probed_in_order() -> None:
    registers = Registers((50_000, MARK))
    assert await find_base(registers.read) == 50_000
    assert registers.asked == [40_000, 0, 50_000]
    with pytest.raises(WrongDevice, match="no SunSpec mark"):
        await find_base(Registers((0, [1, 2])).read)


async def test_a_walk_follows_lengths_and_nothing_else() -> None:
    content = [*MARK, *COMMON, *model(103, 50), *model(160, 128), *model(203, 105), *END]
    assert await walk(Registers((0, content)).read, 0) == [
        Model(1, 2, 66), Model(103, 70, 50), Model(160, 122, 128), Model(203, 252, 105),
    ]  # fmt: skip


async def test_no_walk_is_endless() -> None:
    circular = Registers((40_000, [*MARK, *[7, 0] * (MODELS_MAX + 2)]))
    with pytest.raises(WrongDevice, match="no end"):
        await walk(circular.read, 40_000)
    beyond = Registers((40_000, [*MARK, 7, ADDRESS_MAX]))
    with pytest.raises(WrongDevice, match="beyond the last register, at model 7"):
        await walk(beyond.read, 40_000)
    assert len(circular.asked) == MODELS_MAX


def test_texts() -> None:
    assert text_of([0x4142, 0x4300, 0x4444]) == "ABC"
    assert text_of([0x1B5B, 0xFF20]) == "?[?"


async def test_a_meter_comes_before_an_inverter() -> None:
    content = [*MARK, *COMMON, *model(103, 50), *model(203, 105, at_18=5, at_47=9), *END]
    async with device((0, content)) as client:
        found = await look(client, 1, 0)
    assert found is not None
    assert (found.base, found.models, found.profile) == (0, (1, 103, 203), "sunspec203")
    assert (found.power_w, found.import_wh, found.export_wh) == (5, 9, None)
    assert found.unimplemented == ("export_wh",)


async def test_other_devices_and_broken_ones() -> None:
    async with device((0x34, [0] * 30)) as client:
        plain = await look(client, 1, 0)
    async with device((40_000, [*MARK, 7, 0xFFF0])) as client:
        broken = await look(client, 1, 0)
    async with device((40_000, [*MARK, *COMMON, *model(802, 62), *END])) as client:
        unread = await look(client, 1, 0)
    assert plain is not None
    assert "no SunSpec mark" in plain.problem
    assert broken is not None
    assert (broken.base, "beyond the last register" in broken.problem) == (40_000, True)
    assert unread is not None
    assert (unread.models, unread.profile, unread.problem) == ((1, 802), "", "")


async def test_the_command() -> None:
    meters = [
        SimulatedMeter("MTR-7", unit, load_profile(name), 0, [0], [0], start_wh=(5_000, 7_000))
        for unit, name in ((1, "sunspec701"), (3, "sdm630"))
    ]
    async with MeterServer(meters, Clock()) as server:
        arguments = ["scan", f"127.0.0.1:{server.port}", "--units", "1-3", "--timeout", "0.2"]
        told = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        as_json = await asyncio.to_thread(CliRunner().invoke, app, [*arguments, "--json"])
        nobody = await asyncio.to_thread(CliRunner().invoke, app, [*arguments[:2], "--units", "9", "--timeout", "0.1"])
    assert "unit 1: Wattquorum sunspec701 MTR-7" in told.output
    assert "profile sunspec701: power_w 0, import_wh 5000, export_wh 7000" in told.output
    assert [(item["unit"], item["profile"]) for item in json.loads(as_json.output)] == [(1, "sunspec701"), (3, "")]
    assert (nobody.exit_code, "no unit of 9 answers" in nobody.output) == (1, True)


def test_the_command_with_wrong_arguments() -> None:
    for units in ("", "1-", "x", "256", "-3"):
        refused = CliRunner().invoke(app, ["scan", "127.0.0.1:1", "--units", units])
        assert (refused.exit_code, "units" in refused.output) == (2, True), units
    down = CliRunner().invoke(app, ["scan", "127.0.0.1:1"])
    assert (down.exit_code, "cannot be connected" in down.output) == (1, True)
