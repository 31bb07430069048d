"""Two people trade in two browsers through two nodes: register, list, take, deliver, sign, settle."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from lab_market import LabMarket, LabMeter
from network import until
from page_people import WAIT_MS, Visitor, fact, fill, visit
from playwright.async_api import Browser, expect

from ca.authority import Authority
from ca.certificates import Role
from sdk import methods

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.needs("chromium"), pytest.mark.timeout(600)]
SOLD_WH, DELIVERED_WH, PRICE = 2_500, 2_000, 200_000
SELLING = LabMeter("MTR-SOL", 0, export_wh=DELIVERED_WH)
BUYING = LabMeter("MTR-BEA", 1, import_wh=1_500)
MONEY = 50_000_000
INTERVALS_AHEAD = 5


@pytest_asyncio.fixture
async def lab(tmp_path: Path) -> AsyncIterator[LabMarket]:
    made = LabMarket(tmp_path / "net", [SELLING, BUYING])
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def enter(lab: LabMarket, browser: Browser, name: str, role: Role, said: str, meter: LabMeter) -> Visitor:
    """Somebody registers at the page of the node that reads its meter; operators bind the meter and pay money in."""
    network = lab.network
    code = Authority.open(network.cluster.directory / "ca").new_admission_code(role, name)
    visitor = await visit(browser, name, network.cluster.rest_url(f"node{meter.node + 1}"))
    await visitor.register("Wattquorum", said, code)
    await lab.equip(await visitor.signer(), meter, MONEY)
    return visitor


async def test_two_people_trade_through_two_nodes(lab: LabMarket, browser: Browser) -> None:
    sol = await enter(lab, browser, "Sol Li", Role.PROSUMER, "I sell and buy electricity", SELLING)
    bea = await enter(lab, browser, "Bea Kumar", Role.BUYER, "I buy electricity", BUYING)
    interval = await lab.network.interval(INTERVALS_AHEAD)
    await look_at(sol, interval)
    await look_at(bea, interval)
    await sol_lists(sol)
    await bea_takes(bea)
    trade = await delivered(lab)
    assert (trade["seller"], trade["buyer"]) == (await sol.signer(), await bea.signer())
    await both_sign(lab, sol, bea)
    await both_see_why(sol, bea)
    await bea_keeps_a_statement(bea)
    assert (sol.faults, bea.faults) == ([], [])


async def look_at(visitor: Visitor, interval: int) -> None:
    await visitor.go("market")
    await visitor.choose(interval)


async def sol_lists(sol: Visitor) -> None:
    panel = await sol.open_panel(sol.page.get_by_role("button", name="List energy"))
    await fill(panel, energy_wh=SOLD_WH, price="0.2", lot_wh=500)
    assert await fact(panel, "Held by this") == "1.00", "2.5 kWh at the imbalance price of 0.40"
    assert await fact(panel, "Available afterwards") == "49.00"
    assert await fact(panel, "After the fee") == "0.495"
    await sol.photograph("list")
    await sol.sign(panel)
    await expect(sol.page.get_by_role("region", name="Listings", exact=True)).to_contain_text(
        "2,500 Wh", timeout=WAIT_MS
    )


async def bea_takes(bea: Visitor) -> None:
    """The listing appears without a reload, at another node."""
    panel = await bea.open_panel(bea.page.get_by_role("button", name="Take"))
    await fill(panel, energy_wh=750)
    await expect(panel.get_by_role("button", name="Sign")).to_be_disabled()
    await fill(panel, energy_wh=SOLD_WH)
    assert await fact(panel, "You pay, if all is delivered") == "0.50"
    assert await fact(panel, "Held by this") == "0.50"
    await bea.photograph("take")
    await bea.sign(panel)
    await bea.photograph("market")


async def delivered(lab: LabMarket) -> dict[str, object]:
    """The meter, read over Modbus by its node, has said what came of the trade."""
    found: list[dict[str, object]] = []

    async def proposed() -> bool:
        rows = await lab.network.operator.client.documents(methods.TRADES, status="proposed")
        found[:] = [row.value for row in rows.rows]
        return bool(found)

    await until(proposed, 300)
    (trade,) = found
    assert abs(int(str(trade["delivered_wh"])) - DELIVERED_WH) <= 5, "the meter's counters are read a moment late"
    return trade


async def both_sign(lab: LabMarket, sol: Visitor, bea: Visitor) -> None:
    for visitor in (bea, sol):
        await visitor.go("settlement")
        await expect(visitor.page.get_by_role("region", name="Waiting for your signature")).to_contain_text("2,500 Wh")
        panel = await visitor.open_panel(visitor.page.get_by_role("button", name="Sign", exact=True))
        await visitor.photograph(f"sign-{visitor.name.split()[0].lower()}")
        await visitor.sign(panel)
    rows = await lab.network.operator.client.documents(methods.TRADES, status="settled")
    (trade,) = [row.value for row in rows.rows]
    balances = [await balance(lab, str(trade[side])) for side in ("seller", "buyer")]
    earned = trade["amount"] - trade["fee"] - trade["penalty"]
    assert balances == [(MONEY + earned, 0), (MONEY - trade["amount"], 0)]


async def balance(lab: LabMarket, signer: str) -> tuple[int, int]:
    params = methods.SignerParams(signer=signer)
    row = await lab.network.operator.client.call(methods.ACCOUNT, params)
    return row.value["available"], row.value["held"]


async def both_see_why(sol: Visitor, bea: Visitor) -> None:
    for visitor, sentence in ((sol, "the meter exported only"), (bea, "You pay only for what came.")):
        await visitor.go("account")
        rows = visitor.page.get_by_role("region", name="Interval by interval")
        await expect(rows).to_contain_text(sentence, timeout=WAIT_MS)
        await expect(rows).to_contain_text("final")
        await visitor.photograph(f"account-{visitor.name.split()[0].lower()}")


async def bea_keeps_a_statement(bea: Visitor) -> None:
    page = bea.page
    await page.get_by_role("button", name="Make statement").click()
    await expect(page.get_by_role("region", name="Statement")).to_contain_text("settled", timeout=WAIT_MS)
    async with page.expect_download() as saving:
        await page.get_by_role("button", name="Save as CSV").click()
    text = (await (await saving.value).path()).read_text(encoding="utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert (row["side"], row["energy_wh"], row["price_per_kwh"], row["status"]) == ("buyer", "2500", "0.20", "settled")
    assert row["moved"].startswith("-0.")
