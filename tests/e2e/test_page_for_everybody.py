"""The page for everybody: named, readable, for phones, by keyboard, in both languages and themes."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Literal

import pytest
from network import Network
from page_guests import CHECKS, SHARED_PAGE, TOO_WIDE, at_length, go, url, verified
from page_people import WAIT_MS, Visitor, at_page, visit
from playwright.async_api import Browser, Page, Route, expect

pytestmark = SHARED_PAGE
OUT_OF_SIGHT = """() => [...document.querySelectorAll(".table:has(.stacks)")]
  .filter((table) => table.scrollWidth > table.clientWidth + 1).map((table) => table.ariaLabel)"""
"""Tables whose buttons or sentences one has to scroll to."""
TABLET_PX = 768


async def paths(page: Page) -> list[str]:
    links = await page.locator("nav a").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    return [*links, "#/explorer/block/2", "#/explorer/trust"]


async def looks(browser: Browser, network: Network, **options: Any) -> Visitor:
    visitor = await visit(browser, "guest", url(network), **options)
    await verified(visitor.page)
    return visitor


@at_length
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_is_named_and_readable(page_network: Network, page_browser: Browser, scheme: str) -> None:
    guest = await looks(page_browser, page_network, color_scheme=scheme)
    for path in await paths(guest.page):
        await go(guest, path.removeprefix("#/"))
        await expect(guest.page.locator("#main h1")).to_have_count(1, timeout=WAIT_MS)
        assert await guest.page.evaluate(CHECKS) == [], path
        await guest.photograph(f"{scheme}-{path.removeprefix('#/').replace('/', '-')}")


@pytest.mark.parametrize("width", [pytest.param(390, marks=at_length), 320])
async def test_nothing_is_wider_than_a_phone(page_network: Network, page_browser: Browser, width: int) -> None:
    guest = await looks(page_browser, page_network)
    await guest.page.set_viewport_size({"width": width, "height": 844})
    for path in await paths(guest.page):
        await go(guest, path.removeprefix("#/"))
        assert await guest.page.evaluate(TOO_WIDE) == [], path
        assert await guest.page.evaluate(CHECKS) == [], path
        await guest.photograph(f"phone-{width}-{path.removeprefix('#/').replace('/', '-')}")


@at_length
@pytest.mark.parametrize(("name", "scheme"), [("alice", "dark"), ("operator1", "light")])
async def test_what_members_see_is_readable_and_fits_a_phone(
    page_network: Network, page_browser: Browser, name: str, scheme: Literal["light", "dark"]
) -> None:
    key = next(person.key for person in page_network.people if person.name == name)
    member = await at_page(page_browser, name, key, page_network.cluster, 1)
    await member.page.emulate_media(color_scheme=scheme)
    await member.page.set_viewport_size({"width": 390, "height": 844})
    for path in await paths(member.page):
        await go(member, path.removeprefix("#/"))
        assert await member.page.evaluate(TOO_WIDE) == [], path
        assert await member.page.evaluate(CHECKS) == [], path
        await member.photograph(f"phone-{name}-{path.removeprefix('#/').replace('/', '-')}")
    await member.page.set_viewport_size({"width": TABLET_PX, "height": 1024})
    for path in await paths(member.page):
        await go(member, path.removeprefix("#/"))
        await expect(member.page.locator("#main .card").first).to_be_visible(timeout=WAIT_MS)
        assert await member.page.evaluate(OUT_OF_SIGHT) == [], path
    assert member.faults == []


@at_length
async def test_a_view_says_that_it_loads_until_it_has_something(page_network: Network, page_browser: Browser) -> None:
    """It was blank for as long as a slow node or a phone's link took, with a gap for each card to come."""
    alice = next(person.key for person in page_network.people if person.name == "alice")
    member = await at_page(page_browser, "alice", alice, page_network.cluster, 1)
    answer = asyncio.Event()

    async def late(route: Route) -> None:
        await answer.wait()
        await route.continue_()

    await member.page.route("**/v1/query", late)
    for view in ("account", "settlement"):
        answer.clear()
        await member.page.goto(f"{member.address}/#/{view}")
        loading = member.page.locator("#main").get_by_text("Loading…")
        await expect(loading).to_be_visible(timeout=WAIT_MS)
        gaps = (
            "[...document.querySelectorAll('.grid > :empty, .stack > :empty')].filter((each) => each.checkVisibility())"
        )
        assert await member.page.evaluate(f"{gaps}.length") == 0
        answer.set()
        await expect(member.page.locator("#main .card").first).to_be_visible(timeout=WAIT_MS)
        await expect(loading).to_have_count(0, timeout=WAIT_MS)


async def test_the_keyboard_reaches_everything(page_network: Network, page_browser: Browser) -> None:
    guest = await looks(page_browser, page_network)
    page = guest.page
    await go(guest, "explorer")
    await page.reload()
    await verified(page)
    await page.keyboard.press("Tab")
    await expect(page.locator("#skip")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    assert page.url.endswith("#/explorer"), "the skip link is no way to another view"
    await page.keyboard.press("Tab")
    await expect(page.locator("#find")).to_be_focused()
    outline = await page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    await page.keyboard.type("2")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1, name="Block 2")).to_be_visible(timeout=WAIT_MS)
    await expect(page.locator("#main")).to_be_focused()


async def test_both_languages_are_whole_and_the_choice_is_kept(page_network: Network, page_browser: Browser) -> None:
    guest = await looks(page_browser, page_network)
    page = guest.page
    await go(guest, "register")
    await page.get_by_role("button", name="简体中文").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("注册")
    await expect(page.get_by_role("button", name="English")).to_be_focused()
    for path in await paths(page):
        await go(guest, path.removeprefix("#/"))
        assert await page.evaluate("() => document.documentElement.lang") == "zh-CN"
        said = await page.locator("#main").inner_text()
        assert re.search(r"[\u4e00-\u9fff]", said), path
        assert not re.search(r"\b(explorer|register|shell|alarm)\.[a-z]", said), f"{path}: a key instead of its text"
        await guest.photograph(f"zh-{path.removeprefix('#/').replace('/', '-')}")
    await page.reload()
    await expect(page.get_by_role("button", name="English")).to_be_visible(timeout=WAIT_MS)
    async with asyncio.timeout(WAIT_MS / 1000):
        await page.get_by_role("button", name="English").click()
    await expect(page.locator("html")).to_have_attribute("lang", "en")


@at_length
async def test_the_theme_is_chosen_and_kept(page_network: Network, page_browser: Browser) -> None:
    guest = await looks(page_browser, page_network, color_scheme="light")
    root = guest.page.locator("html")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = await guest.page.evaluate(ground)
    await guest.page.get_by_role("button", name="Theme: as the system").click()
    await guest.page.get_by_role("button", name="Theme: light").click()
    await expect(root).to_have_attribute("data-theme", "dark")
    assert await guest.page.evaluate(ground) != light
    await guest.page.reload()
    await expect(root).to_have_attribute("data-theme", "dark")
