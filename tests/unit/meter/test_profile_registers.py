"""Registers computed by hand, served by a real Modbus TCP server, read by the shipped profiles."""

from __future__ import annotations

import pytest
from modbus import COMMON, END, MARK, device, model

from meter.counters import Sample
from meter.errors import WrongDevice
from meter.profile import load_profile
from meter.reader import UnitReader

Blocks = tuple[tuple[int, list[int]], ...]


PLAIN: dict[str, tuple[Blocks, tuple[int | None, int, int]]] = {
    # 0x0028 is 12,345 = 0x00003039 tenths of W, low word first; 0x0034 is 70,000 = 0x00011170 tenths of kWh.
    "em340": (
        ((0x28, [0x3039, 0]), (0x34, [0x1170, 0x0001]), (0x4E, [0x0007, 0])),
        (1_234, 7_000_000, 700),
    ),
    # -500 tenths of W is 0xFFFFFE0C.
    "em24": (
        ((0x28, [0xFE0C, 0xFFFF]), (0x34, [0x0001, 0]), (0x4E, [0, 0])),
        (-50, 100, 0),
    ),
    # 0x3FC00000 is the float 1.5, in kW; the counters are int64 Wh: 4,294,967,297 = 0x1_0000_0001.
    "iem3155": (
        ((0x0BF3, [0x3FC0, 0x0000]), (0x0C83, [0, 1, 0, 1]), (0x0C87, [0, 0, 0, 0x01F4])),
        (1_500, 4_294_967_297, 500),
    ),
    "iem3150": (((0x0BF3, [0x3FC0, 0x0000]), (0x0C83, [0, 0, 0, 9])), (1_500, 9, 0)),
    # 0x42F6E666 is 123.45, in W; 0x41200000 is 10, 0x3E800000 is 0.25, in kWh.
    "sdm120": (((0x0C, [0x42F6, 0xE666]), (0x48, [0x4120, 0, 0x3E80, 0])), (123, 10_000, 250)),
    "sdm630": (((0x34, [0xC2F6, 0xE666, *[0] * 18, 0x4120, 0, 0x3E80, 0]),), (-123, 10_000, 250)),
    # W 4,200 x 10^0 fed in; WH 0x0001_0000 x 10^1.
    "sunspec103": (
        ((40_000, [*MARK, *COMMON, *model(103, 50, at_14=4_200, at_15=0, at_24=1, at_25=0, at_26=1), *END]),),
        (-4_200, 0, 655_360),
    ),
    # 0x451C4000 is 2,500.0 W fed in; 0x49742400 is 1,000,000.0 Wh.
    "sunspec113": (
        ((0, [*MARK, *COMMON, *model(111, 60, at_22=0x451C, at_23=0x4000, at_32=0x4974, at_33=0x2400), *END]),),
        (-2_500, 0, 1_000_000),
    ),
    # W -30 x 10^1 (0xFFE2); exported 7, imported 0x0001_0002 = 65,538, both x 10^-1.
    "sunspec203": (
        (
            (
                50_000,
                [*MARK, *COMMON,
                 *model(201, 105, at_18=0xFFE2, at_22=1, at_39=7, at_46=1, at_47=2, at_54=0xFFFF), *END],
            ),
        ),
        (-300, 6_553, 0),
    ),
    "sunspec213": (
        (
            (
                40_000,
                [*MARK, *COMMON, *model(214, 124, at_28=0xC120, at_60=0x4120, at_68=0x4974, at_69=0x2400), *END],
            ),
        ),
        (-10, 1_000_000, 10),
    ),
    # W 250 x 10^1 fed in; injected 0x1_0000_0000 and absorbed 12, both x 10^0.
    "sunspec701": (
        (
            (
                40_000,
                [*MARK, *COMMON, *model(701, 153, at_10=250, at_116=1, at_20=1, at_26=12, at_120=0), *END],
            ),
        ),
        (-2_500, 12, 4_294_967_296),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
async def test_registers_by_hand(name: str) -> None:
    blocks, (power_w, import_wh, export_wh) = PLAIN[name]
    async with device(*blocks) as client:
        reader = UnitReader(load_profile(name), 1)
        sample = await reader.read(client, 5)
        power = await reader.read_power(client)
    assert (sample.power_w, sample.import_wh, sample.export_wh, sample.at_ms) == (power_w, import_wh, export_wh, 5)
    assert power == power_w


@pytest.mark.parametrize("number", [101, 102, 103, 201, 202, 203, 204, 701])
async def test_every_model_is_read_wherever_it_stands(number: int) -> None:
    """Other models stand before it, so that no address could have been assumed."""
    name, length = {1: ("sunspec103", 50), 2: ("sunspec203", 105), 7: ("sunspec701", 153)}[number // 100]
    before = [*model(120, 26), *model(64_001, 7)]
    async with device((40_000, [*MARK, *COMMON, *before, *model(number, length), *END])) as client:
        sample = await UnitReader(load_profile(name), 1).read(client, 1)
    assert sample == Sample(1, 0, 0, 0, 1, sample.wrap_wh)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("sunspec701", model(701, 121), "has 121 registers, not 153"),
        ("sunspec701", model(701, 153, at_19=0xFFFF, at_20=0xFFFF, at_21=0xFFFF, at_22=0xFFFF), "reads None"),
        ("sunspec103", model(103, 50, at_25=1, at_26=0x8000), "scale factor at offset 26"),
        ("sunspec103", model(103, 50, at_25=1, at_26=11), "scale factor at offset 26"),
        ("sunspec213", model(213, 124, at_60=0x7FC0), "reads None"),
        ("sunspec213", model(213, 124, at_60=0x7F7F), r"3e\+38 Wh"),
        ("sunspec103", model(103, 50, at_25=1, at_26=10), r"4e\+19 Wh"),
        ("sunspec701", model(701, 153, at_19=0x7FFF), r"9e\+18 Wh"),
    ],
)
async def test_what_no_such_device_says(name: str, content: list[int], why: str) -> None:
    async with device((40_000, [*MARK, *COMMON, *content, *END])) as client:
        with pytest.raises(WrongDevice, match=why):
            await UnitReader(load_profile(name), 1).read(client, 0)


@pytest.mark.parametrize(
    ("name", "content"),
    [("sunspec701", model(701, 153, at_10=0x8000)), ("sunspec213", model(213, 124, at_28=0x7F7F))],
)
async def test_power_that_is_not_implemented_or_no_number_of_ours_is_none(name: str, content: list[int]) -> None:
    async with device((40_000, [*MARK, *COMMON, *content, *END])) as client:
        assert await UnitReader(load_profile(name), 1).read_power(client) is None
