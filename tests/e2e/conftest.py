"""Browsers for the tests of the page; for those that share them, one network and one browser a file of tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from network import Network, configuration_text, free_ports
from page_guests import NOT_LOOPBACK
from playwright.async_api import Browser, async_playwright

from cli.tools import TOOLS


@asynccontextmanager
async def chromium(*arguments: str) -> AsyncIterator[Browser]:
    async with async_playwright() as driver:
        path = TOOLS["chromium"].path()
        launched = await driver.chromium.launch(executable_path=path, args=["--no-sandbox", *arguments])
        yield launched
        await launched.close()


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as launched:
        yield launched


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page_network(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Network]:
    ca, (port,) = 'certificate_authority = "ca"', free_ports(1)
    text = configuration_text(4).replace(ca, f'{ca}\naddresses = ["127.0.0.1:{port}"]')
    made = Network(tmp_path_factory.mktemp("page") / "net", text=text)
    try:
        await made.start()
        await made.admit("alice", "prosumer", 0)
        yield made
    finally:
        await made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page_browser() -> AsyncIterator[Browser]:
    async with chromium(f"--host-resolver-rules=MAP {NOT_LOOPBACK} 127.0.0.1") as launched:
        yield launched


@pytest_asyncio.fixture(loop_scope="module")
async def leaving(page_browser: Browser) -> AsyncIterator[None]:
    """Who has looked goes again: an address has a share of a node's connections, no more."""
    yield
    for context in page_browser.contexts:
        await context.close()
