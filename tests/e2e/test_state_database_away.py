"""Four real nodes whose state database never answers: with a bound of no blocks they stand still, and end when told."""

from __future__ import annotations

from pathlib import Path
from signal import SIGTERM

import pytest
from network import Network, until

from demo.couchdb import PASSWORD_VARIABLE, USER_VARIABLE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
NOBODY = "http://127.0.0.1:1"
ENDS_WITHIN_S = 10.0
PATIENCE_S = 30.0


async def test_a_node_that_waits_for_its_state_database_ends_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(USER_VARIABLE, "admin")
    monkeypatch.setenv(PASSWORD_VARIABLE, "for tests: not secret")
    state = f'[state]\nbackend = "couchdb"\ncouchdb_url = "{NOBODY}"\nlag_blocks_max = 0'
    network = Network(tmp_path / "net", extra=state)
    cluster = network.cluster

    async def waits() -> bool:
        status = await cluster.status("node1")
        told = None if status is None else status.state_database
        return told is not None and told.lag_blocks > 0 and told.fault.startswith("state.couchdb_url")

    try:
        await network.start()
        await until(waits, PATIENCE_S)
        for name in cluster.names:
            cluster.kill(name, SIGTERM)
        gone = [await cluster.wait_gone(name, ENDS_WITHIN_S) for name in cluster.names]
        assert gone == [True] * 4
    finally:
        await network.close()
