"""What a day at the page has beside its trade: a dispute, a mandate, certificates of origin, a sealed order, and what
operators do to users and meters. Every act is one that the contracts take."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from lab_market import LabMarket, LabMeter
from network import Person, until
from page_people import WAIT_MS, at_page, fact, fill
from playwright.async_api import Browser, expect

from sdk import methods

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.needs("chromium"), pytest.mark.timeout(900)]
SELLING = LabMeter("MTR-SOL", 0, export_wh=2_000)
BUYING = LabMeter("MTR-BEA", 1, import_wh=1_500)
HALL = LabMeter("MTR-HALL", 1, export_wh=400, zone="hall")
MONEY = 50_000_000
REVEAL_S = 1_800


@pytest_asyncio.fixture
async def lab(tmp_path: Path) -> AsyncIterator[LabMarket]:
    made = LabMarket(tmp_path / "net", [SELLING, BUYING, HALL], market={"reveal_s": REVEAL_S})
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def test_a_dispute_a_mandate_and_certificates(lab: LabMarket, browser: Browser) -> None:
    sol, bea = await lab.admit("sol", "prosumer", SELLING, MONEY), await lab.admit("bea", "buyer", BUYING, MONEY)
    trade = await traded(lab, sol, bea)
    seller = await at_page(browser, "sol", sol.key, lab.network.cluster, 0)
    buyer = await at_page(browser, "bea", bea.key, lab.network.cluster, 1)
    await until_status(lab, trade, "proposed")
    await buyer.go("settlement")
    panel = await buyer.open_panel(buyer.page.get_by_role("button", name="Dispute"))
    await fill(panel, amount="0.9", reason="Too much")
    await expect(panel.get_by_role("button", name="Sign")).to_be_disabled()
    await fill(panel, amount="0.04")
    await buyer.sign(panel)
    await seller.go("settlement")
    await seller.sign(await seller.open_panel(seller.page.get_by_role("button", name="Sign", exact=True)))
    await until_status(lab, trade, "disputed")
    for visitor in (buyer, seller):
        panel = await visitor.open_panel(visitor.page.get_by_role("button", name="Decide"))
        await fill(panel, paid="0.01")
        await visitor.photograph("dispute")
        await visitor.sign(panel)
    await until_status(lab, trade, "settled")
    await seller.go("account")
    await seller.sign(await seller.open_panel(seller.page.get_by_role("button", name="Give a mandate")))
    await expect(seller.page.get_by_role("button", name="End the mandate")).to_be_visible(timeout=WAIT_MS)
    await seller.sign(await seller.open_panel(seller.page.get_by_role("button", name="Certify MTR-SOL")))
    panel = await seller.open_panel(seller.page.get_by_role("button", name="Pass on").first)
    await fill(panel, to=bea.key.signer, energy_wh=300)
    await seller.sign(panel)
    await buyer.go("account")
    theirs = buyer.page.get_by_role("region", name="Certificates of origin")
    await expect(theirs).to_contain_text("300 Wh", timeout=WAIT_MS)
    panel = await seller.open_panel(seller.page.get_by_role("button", name="Claim").first)
    await fill(panel, energy_wh=100, purpose="For the bakery")
    await seller.sign(panel)
    certificates = seller.page.get_by_role("region", name="Certificates of origin")
    await expect(certificates).to_contain_text("For the bakery", timeout=WAIT_MS)
    await seller.photograph("certificates")
    assert (seller.faults, buyer.faults) == ([], [])


async def test_a_sealed_order_is_revealed_where_it_was_sealed(lab: LabMarket, browser: Browser) -> None:
    product = {"name": "hall", "zones": ["hall"], "mechanism": "auction", "grid_fee": 0, "ties": "time"}
    operator = lab.network.operator
    await operator.invoke("governance", "set_product", product, co_signers=[lab.network.second_operator])
    cy = await lab.admit("cy", "prosumer", HALL, MONEY)
    visitor = await at_page(browser, "cy", cy.key, lab.network.cluster, 1)
    await visitor.go("market")
    await visitor.choose(await lab.network.interval(5))
    panel = await visitor.open_panel(visitor.page.get_by_role("button", name="Sealed order"))
    await panel.locator("[name=side]").select_option("ask")
    await fill(panel, energy_wh=300, price="0.18")
    assert await fact(panel, "Held by this") == "1.00", "the tier, whatever the order is worth"
    await visitor.sign(panel)
    panel = await visitor.open_panel(visitor.page.get_by_role("button", name="Reveal"), within_ms=240_000)
    assert await fact(panel, "Freed by this") == "1.00"
    await visitor.photograph("reveal")
    await visitor.sign(panel)
    orders = visitor.page.get_by_role("region", name="Your listings and orders")
    await expect(orders).to_contain_text("Ask (sell)", timeout=WAIT_MS)
    assert visitor.faults == []


async def test_operators_bind_suspend_and_pay(lab: LabMarket, browser: Browser) -> None:
    sol = await lab.admit("sol", "prosumer", SELLING, MONEY)
    visitor = await at_page(browser, "operator1", lab.network.operator.key, lab.network.cluster, 0)
    await visitor.go("operations")
    page = visitor.page
    panel = await visitor.open_panel(page.locator(f'[data-key="suspend-{sol.key.signer}"]'))
    await fill(panel, reason="To be looked into")
    await visitor.sign(panel)
    await visitor.sign(await visitor.open_panel(page.locator(f'[data-key="resume-{sol.key.signer}"]')))
    panel = await visitor.open_panel(page.get_by_role("button", name="Bind a meter"))
    await fill(panel, meter="MTR-NEW", zone="zone-1", capacity_w=9_000)
    await visitor.sign(panel)
    meters = page.get_by_role("region", name="Meters", exact=True)
    await expect(meters).to_contain_text("MTR-NEW", timeout=WAIT_MS)
    panel = await visitor.open_panel(page.locator('[data-key="suspend-MTR-NEW"]'))
    await fill(panel, reason="Not sealed yet")
    await visitor.sign(panel)
    await expect(page.locator('[data-key="resume-MTR-NEW"]')).to_be_visible(timeout=WAIT_MS)
    panel = await visitor.open_panel(page.locator(f'[data-key="deposit-{sol.key.signer}"]'))
    await fill(panel, amount="12.5")
    await visitor.sign(panel)
    await expect(page.get_by_role("article", name="Pay money in")).to_contain_text("12.50")
    assert visitor.faults == []


async def traded(lab: LabMarket, sol: Person, bea: Person) -> str:
    """A listing taken over the SDK, to be delivered soon."""
    interval = await lab.network.interval(2)
    listing = {"meter": SELLING.serial, "interval": interval, "energy_wh": 1_000, "price": 200_000, "lot_wh": 100}
    listed = await sol.invoke("market", "post_listing", listing)
    taking = {"listing": listed.value, "meter": BUYING.serial, "energy_wh": 1_000, "price_max": 200_000}
    return str((await bea.invoke("market", "take_listing", taking)).value)


async def until_status(lab: LabMarket, trade: str, status: str) -> None:
    async def reached() -> bool:
        rows = await lab.network.operator.client.documents(methods.TRADES, status=status)
        values: list[dict[str, Any]] = [row.value for row in rows.rows]
        return any(value["id"] == trade for value in values)

    await until(reached, 300)
