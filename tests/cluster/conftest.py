"""Running networks for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from network import Network


@pytest_asyncio.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    """Four fresh nodes."""
    made = Network(tmp_path / "net")
    try:
        await made.start()
        yield made
    finally:
        await made.close()
