"""`wattq cluster status` for people: nothing is cut in a terminal of 80 columns; and where there is no network."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli.cluster import show_statuses
from cli.main import app
from sdk.methods import NodeStatus, StateDatabaseStatus

FIELDS: dict[str, Any] = {
    "name": "node2",
    "index": 1,
    "version": "0",
    "chain": "c",
    "channel": "main",
    "view": 1234,
    "view_active": False,
    "primary": "node1",
    "executed_height": 12_345_678,
    "certified_height": 12_345_677,
    "state_root": "0123456789abcdef" * 4,
    "block_time_ms": 0,
    "state_database_height": 0,
    "pool_transactions": 0,
    "peers": (),
    "rejects": {},
    "alarms": ("catch-up: " + "far behind " * 20,),
    "epoch": 12,
    "boundary": 12_345_999,
    "votes": False,
}


@pytest.mark.parametrize("width", [80, 120])
def test_every_figure_and_every_alarm_is_whole(width: int) -> None:
    out = io.StringIO()
    show_statuses({"node1": None, "node2": NodeStatus(**FIELDS)}, Console(file=out, width=width))
    table, notes = out.getvalue().split("node2: ", 1)
    for text in ("no answer", "validator, mute", "1234", "12345678", "12345677", "0123456789abcdef"):
        assert text in table
    assert max(map(len, table.splitlines())) <= width
    assert notes.splitlines() == [
        "epoch 12 ends with block 12345999",
        "node2: view 1234 has not begun yet",
        f"node2: {FIELDS['alarms'][0]}",
    ]


@pytest.mark.parametrize(
    ("state", "note"),
    [
        (StateDatabaseStatus(9, 3, 70, 900, 12.5, 40, 0, ""), ""),
        (
            StateDatabaseStatus(9, 300, 7_000, 60_400, 12.5, 40, 0, "state.couchdb_url: http://db:5984: no answer"),
            "state database 300 blocks, 7000 bytes and 60 s behind, 12 documents/s: "
            "state.couchdb_url: http://db:5984: no answer",
        ),
        (
            StateDatabaseStatus(9, 300, 7_000, 60_400, 1_250.0, 40, 0, ""),
            "state database 300 blocks, 7000 bytes and 60 s behind, 1250 documents/s",
        ),
        (
            StateDatabaseStatus(9, 0, 0, 0, 12.5, 40, 0, "", 2, "market/order/7"),
            "state database leaves out 2 documents that it does not store, lately market/order/7",
        ),
    ],
    ids=["soon", "away", "slow", "left out"],
)
def test_a_state_database_that_lags_is_told_with_its_rate_and_fault(state: StateDatabaseStatus, note: str) -> None:
    out = io.StringIO()
    fields = {**FIELDS, "alarms": (), "boundary": None, "view_active": True, "state_database": state}
    show_statuses({"node2": NodeStatus(**fields)}, Console(file=out, width=80))
    assert out.getvalue().partition("node2: ")[2].strip() == note


def test_a_certificate_that_ends_soon_is_told_to_who_looks() -> None:
    """The status had it, and nothing that a person reads."""
    out, ends = io.StringIO(), "the certificate ends in 6 days, on 2026-12-04: renew it"
    fields = {**FIELDS, "alarms": (), "boundary": None, "view_active": True, "warnings": (ends,)}
    show_statuses({"node2": NodeStatus(**fields)}, Console(file=out, width=80))
    assert out.getvalue().partition("node2: ")[2].strip() == ends


@pytest.mark.parametrize("command", [["cluster", "status"], ["cluster", "kill", "1"], ["evidence", "list"]])
def test_where_no_network_is_every_command_says_so_alike(command: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*command, "--directory", str(tmp_path / "none")])
    assert done.exit_code == 2
    assert f"{tmp_path / 'none'} is no prepared network" in done.output
