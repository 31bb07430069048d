"""Orders at the page that are filled at once or not at all, and amended ones; certificates that end soon, and their
renewal. One network and one browser for all."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta, tzinfo
from typing import Any, Self

import pytest
from network import Network, Person
from page_guests import SHARED_PAGE, at_length
from page_people import WAIT_MS, at_page, fact, fill
from playwright.async_api import Browser, expect

from ca.authority import Authority
from ca.certificates import create_request
from ca.keys import SigningKey
from sdk import methods

pytestmark = [*SHARED_PAGE, at_length]
ASKED_WH = 1_000
LASTS_DAYS = 60


async def test_orders_at_once_or_not_at_all_and_amended(page_network: Network, page_browser: Browser) -> None:
    sol, bea = await page_network.admit("sol", "seller", 0), await page_network.admit("bea", "buyer", 1)
    interval = await page_network.interval()
    ask = {"side": "ask", "meter": "M-sol", "interval": interval, "energy_wh": ASKED_WH, "price": 200_000}
    await sol.invoke("market", "place_order", {**ask, "execution": "limit"})
    buyer = await at_page(page_browser, "bea", bea.key, page_network.cluster, 1)
    page = buyer.page
    await buyer.go("market")
    await buyer.choose(interval)
    await expect(page.get_by_role("region", name="Order book")).to_contain_text("1,000 Wh", timeout=WAIT_MS)
    panel = await buyer.open_panel(page.get_by_role("button", name="Bid", exact=True))
    await fill(panel, energy_wh=ASKED_WH + 1, price="0.3")
    await panel.locator("[name=execution]").select_option("fok")
    await panel.get_by_role("button", name="Sign").click()
    await expect(panel.locator(".notice.bad")).to_contain_text("cannot fill", timeout=WAIT_MS)
    await buyer.photograph("order-fok")
    assert await trades_of(bea) == []
    await panel.locator("[name=execution]").select_option("ioc")
    await fill(panel, energy_wh=600)
    assert await fact(panel, "As the book stands now") == "600 Wh at 0.2000 on average"
    await buyer.sign(panel)
    assert [(trade["energy_wh"], trade["price"]) for trade in await trades_of(bea)] == [(600, 200_000)]
    panel = await buyer.open_panel(page.get_by_role("button", name="Bid", exact=True))
    await fill(panel, energy_wh=300, price="0.1")
    await buyer.sign(panel)
    panel = await buyer.open_panel(page.get_by_role("button", name="Amend"))
    await fill(panel, energy_wh=200, price="0.15")
    assert (await fact(panel, "Held by this"), await fact(panel, "Freed by this")) == ("0.03", "0.03")
    await buyer.photograph("order-amend")
    await buyer.sign(panel)
    book = page.get_by_role("region", name="Order book")
    await expect(book).to_contain_text("0.1500", timeout=WAIT_MS)
    await expect(book).to_contain_text("200 Wh")
    assert buyer.faults == []


async def trades_of(person: Person) -> list[dict[str, Any]]:
    return [row.value for row in (await person.client.documents(methods.TRADES)).rows]


@pytest.mark.parametrize(("left_days", "warning"), [(20, "30"), (5, "7"), (1, "1")])
async def test_a_certificate_that_ends_soon_is_told_and_renewed(
    page_network: Network, page_browser: Browser, monkeypatch: pytest.MonkeyPatch, left_days: int, warning: str
) -> None:
    key = SigningKey.generate()
    name = f"ends-in-{left_days}"
    with monkeypatch.context() as earlier:
        earlier.setattr("ca.issuing.datetime", clock_at(timedelta(days=left_days - LASTS_DAYS)))
        ca = Authority.open(page_network.cluster.directory / "ca")
        issued = ca.issue(create_request(key, name, "Wattquorum", "buyer"), name, "Wattquorum", "buyer", LASTS_DAYS)
    async with page_network.client(0, key) as client:
        certificate = base64.b64encode(issued.certificate_der).decode()
        await client.invoke("registry", "register", {"certificate_der": certificate})
    visitor = await at_page(page_browser, name, key, page_network.cluster, 0)
    notice = visitor.page.locator(f'[data-expiry="{warning}"]')
    await expect(notice).to_be_visible(timeout=WAIT_MS)
    await expect(visitor.page.locator("#strip")).to_contain_text("ends within")
    await visitor.photograph(f"expiry-{warning}")
    await notice.get_by_role("button").click()
    await expect(visitor.page.locator("[data-expiry]")).to_have_count(0, timeout=WAIT_MS)
    await expect(visitor.page.locator("#strip")).not_to_contain_text("ends within")
    assert visitor.faults == []


def clock_at(offset: timedelta) -> type[datetime]:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + offset

    return Clock
