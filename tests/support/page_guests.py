"""Guests at the page: where a node's page is, how one goes about it, and when it has verified something."""

from __future__ import annotations

from pathlib import Path

import pytest
from network import Network
from page_people import WAIT_MS, Visitor
from playwright.async_api import Page, expect

CHECKS = (Path(__file__).parent / "page_checks.js").read_text(encoding="utf-8")
TOO_WIDE = """() => {
  if (document.documentElement.scrollWidth <= innerWidth) return [];
  const ends = (element) => element.getBoundingClientRect().right;
  const beyond = [...document.querySelectorAll("body *")].filter((element) => ends(element) > innerWidth);
  return beyond.filter((element) => !element.closest(".table, nav")).map((element) => element.outerHTML.slice(0, 200));
}"""
NOT_LOOPBACK = "node.example"
"""A name for this machine that no browser takes for it."""
SHARED_PAGE = [
    pytest.mark.e2e,
    pytest.mark.needs("chromium"),
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.usefixtures("leaving"),
]
"""Marks of a file of tests that share one network and one browser."""
at_length = pytest.mark.full
"""Of a test of the page that is none of its core, which CI runs: registering, proving, being deceived, a phone, the
keyboard, both languages."""


def url(network: Network, node: int = 1) -> str:
    return network.cluster.rest_url(f"node{node}")


async def go(visitor: Visitor, view: str) -> None:
    """To any place of the page, by the address bar, until it is there."""
    await visitor.page.goto(f"{visitor.address}/#/{view}")
    await expect(visitor.page.locator(f"#main[data-shown='/{view}']")).to_be_visible(timeout=WAIT_MS)


async def verified(page: Page) -> None:
    await expect(page.locator("[data-verified]")).to_be_visible(timeout=WAIT_MS)
