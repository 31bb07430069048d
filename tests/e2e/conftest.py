"""A network and a browser for the tests of the page, one of each a file of tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from network import Network
from page_guests import NOT_LOOPBACK
from playwright.async_api import Browser, async_playwright

from cli.tools import TOOLS


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page_network(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Network]:
    made = Network(tmp_path_factory.mktemp("page") / "net")
    try:
        await made.start()
        await made.admit("alice", "prosumer", 0)
        yield made
    finally:
        await made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page_browser() -> AsyncIterator[Browser]:
    arguments = ["--no-sandbox", f"--host-resolver-rules=MAP {NOT_LOOPBACK} 127.0.0.1"]
    async with async_playwright() as driver:
        launched = await driver.chromium.launch(executable_path=TOOLS["chromium"].path(), args=arguments)
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="module")
async def leaving(page_browser: Browser) -> AsyncIterator[None]:
    """Who has looked goes again: an address has a share of a node's connections, no more."""
    yield
    for context in page_browser.contexts:
        await context.close()
