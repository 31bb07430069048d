"""People at the page: what they do there, in the page's own words, in a real browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Dialog, Locator, Page, expect

from ca.backup import backup_of
from ca.keys import SigningKey
from cluster import Cluster

PASSPHRASE = "correct horse battery staple"
WAIT_MS = 60_000
SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
"""Kept after a run, to be looked at."""


@dataclass(slots=True)
class Visitor:
    """Somebody in a browser context of its own, at one node's page."""

    name: str
    page: Page
    address: str
    faults: list[str]
    """What the page's code has thrown at nobody."""

    async def go(self, view: str) -> None:
        """To a view, by the address bar."""
        await self.page.goto(f"{self.address}/#/{view}")
        await expect(self.page.locator(f'nav a[href="#/{view}"]')).to_have_attribute("aria-current", "page")
        await expect(self.page.get_by_role("heading", level=1)).to_be_visible(timeout=WAIT_MS)

    async def register(self, organisation: str, role: str, code: str) -> Path:
        """From a new key to an entry in the registry; the backup that was saved on the way."""
        saved = await self.apply(organisation, role, code)
        await expect(self.page.get_by_role("heading", level=2, name=self.name)).to_be_visible(timeout=WAIT_MS)
        return saved

    async def apply(self, organisation: str, role: str, code: str) -> Path:
        """Make a key, save its backup, and ask for admission; the backup."""
        page = self.page
        await self.go("register")
        await page.get_by_role("button", name="Make my key").click()
        await page.get_by_label("Passphrase", exact=True).fill(PASSPHRASE)
        await page.get_by_label("The passphrase again").fill(PASSPHRASE)
        async with page.expect_download(timeout=WAIT_MS) as saving:
            await page.get_by_role("button", name="Save the backup").click()
        saved = await (await saving.value).path()
        await page.get_by_role("button", name="I have saved it, go on").click()
        await page.get_by_label("Name").fill(self.name)
        await page.get_by_label("Organisation").fill(organisation)
        await page.get_by_text(role, exact=True).click()
        await page.get_by_label("Code").fill(code)
        await page.locator("form button[type=submit]").click()
        return saved

    async def restore(self, backup: Path) -> None:
        """Bring a key from its backup."""
        page = self.page
        await self.go("register")
        await page.locator("#backup-file").set_input_files(backup)
        await page.get_by_label("Passphrase", exact=True).fill(PASSPHRASE)
        await page.get_by_role("button", name="Restore").click()

    async def signer(self) -> str:
        await self.go("register")
        text = await self.page.locator("code", has_text=re.compile("^[0-9a-f]{64}$")).first.text_content()
        assert text is not None
        return text

    # ------------------------------------------------------------------------------------------------- acting

    async def choose(self, interval: int) -> None:
        """Look at an interval of the market."""
        await self.page.locator("#market-interval").select_option(str(interval))
        await expect(self.page.locator("#market-interval")).to_have_value(str(interval))

    async def open_panel(self, button: Locator, within_ms: float = WAIT_MS) -> Locator:
        await button.click(timeout=within_ms)
        return self.page.locator("dialog.act")

    async def sign(self, panel: Locator) -> None:
        """Sign what a panel says, and wait until this page has verified the receipt."""
        await panel.get_by_role("button", name="Sign").click()
        await expect(panel).to_have_count(0, timeout=WAIT_MS)

    # --------------------------------------------------------------------------------------------- proposals

    async def save_proposal(self, title: str) -> Path:
        """The file that goes to the next signer."""
        async with self.page.expect_download() as saving:
            await self.page.get_by_role("article", name=title).get_by_role("button", name="Save file").click()
        return await (await saving.value).path()

    async def sign_and_submit(self, file: Path, title: str) -> None:
        """Take in what somebody else has signed first; this signature is the last one that it needs."""
        await self.page.get_by_role("button", name="Take in a proposal").click()
        await self.page.get_by_label("Or its file").set_input_files(file)
        await self.page.get_by_role("button", name="Take in", exact=True).click()
        proposal = self.page.get_by_role("article", name=title)
        await proposal.get_by_role("button", name="Sign").click()
        await proposal.get_by_role("button", name="Submit").click()
        await expect(proposal).to_have_count(0, timeout=WAIT_MS)

    async def photograph(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


async def fill(panel: Locator, **values: object) -> None:
    for name, value in values.items():
        await panel.locator(f"[name={name}]").fill(str(value))


async def fact(panel: Locator, term: str) -> str:
    """What a panel says beside a term."""
    found = panel.locator("dl.facts > div").filter(has=panel.page.get_by_text(term, exact=True)).locator("dd")
    text = await found.text_content()
    assert text is not None
    return text


async def visit(browser: Browser, name: str, address: str, **options: Any) -> Visitor:
    """A fresh browser context, in English and Berlin's time."""
    context = await browser.new_context(
        locale="en-GB", timezone_id="Europe/Berlin", viewport={"width": 1280, "height": 900}, **options
    )
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", _agree)
    await page.goto(address)
    await expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=WAIT_MS)
    return Visitor(name, page, address, faults)


async def at_page(browser: Browser, name: str, key: SigningKey, cluster: Cluster, node: int) -> Visitor:
    """Somebody brings a key to a node's page in a backup; ``name`` is the one that it is registered under."""
    backup = cluster.directory / f"{name}.json"
    backup.write_text(backup_of(key, PASSPHRASE), encoding="utf-8")
    visitor = await visit(browser, name, cluster.rest_url(f"node{node + 1}"))
    await visitor.restore(backup)
    await expect(visitor.page.get_by_role("heading", level=2, name=name)).to_be_visible(timeout=WAIT_MS)
    return visitor


async def _agree(dialog: Dialog) -> None:
    await dialog.accept()
