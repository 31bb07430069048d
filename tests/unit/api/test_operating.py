"""What operators ask: who may see keys in ``why``, who may set the log level, and what becomes of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from desk import OPERATOR, Desk
from ledgers import ALICE

from api.logs import JsonFormatter, levels, set_level
from api.operating import Operating
from api.pools import BoundedPool
from api.privacy import STRANGER, Viewer
from sdk.diagnosis import Diagnosis, Divergence, Side
from sdk.errors import Refused
from sdk.methods import LogLevelParams, Nothing

ELSEWHERE = Viewer(origin="192.0.2.1")
OPERATOR_ELSEWHERE = Viewer(OPERATOR.signer, "operator", origin="192.0.2.1")
LOGGER = "wattq.test_operating"


@pytest.fixture(autouse=True)
def _levels_put_back() -> Iterator[None]:
    root = logging.getLogger().level
    logging.getLogger(LOGGER)
    yield
    logging.getLogger().setLevel(root)
    logging.getLogger(LOGGER).setLevel(logging.NOTSET)


def divided(height: int) -> Diagnosis:
    sides = (Side("aa", "11" * 32, "33" * 32, ("node1",)), Side("aa", "22" * 32, "33" * 32, ("node2",)))
    return Diagnosis(
        name="node1", channel="main", chain="ab", epoch=0, validators=("node1", "node2", "node3", "node4"), quorum=3,
        observer=False, view=0, primary="node1", ordered_height=2, executed_height=2, certified_height=1,
        certified_ms=9_000, patience_ms=100, pool_transactions=0, waiting_ms=0, votes=True, diverged=False, whole=True,
        closed=False, unreachable=(), complaints=(), alarms=(),
        divergence=Divergence(height, sides, ("node3", "node4"), False),
    )  # fmt: skip


def operating(desk: Desk, *, is_main: bool = True) -> Operating:
    return Operating(desk.ledger, BoundedPool("reads", 1, 8, 5.0), lambda: divided(2), is_main)


async def test_keys_of_a_divergence_are_for_operators_and_this_machines_user(desk: Desk) -> None:
    desk.plant({"secret/of/alice": 1, "zone/x": 2})
    desk.plant({"secret/of/alice": 3})
    for viewer in (OPERATOR_ELSEWHERE, STRANGER):
        told = await operating(desk).why(Nothing(), viewer)
        assert {"secret/of/alice", "zone/x"} <= {write.key for write in told.writes}
        assert "OUTCOMES_DIFFER" in [finding.code for finding in told.findings]
    for viewer in (ELSEWHERE, Viewer(ALICE.signer, "seller", origin="192.0.2.1")):
        told = await operating(desk).why(Nothing(), viewer)
        assert told.writes == ()
        assert "secret" not in repr(told)


async def test_what_a_block_wrote_is_told_as_it_was_after_that_block(desk: Desk) -> None:
    desk.plant({"a": 1, "b": 1})
    desk.plant({"a": 2})
    second, third = desk.ledger.writes(2), desk.ledger.writes(3)
    assert second is not None
    assert third is not None
    assert second["a"] != third["a"]
    assert desk.ledger.writes(1) is None, "certified: what it replaced is not kept"
    assert desk.ledger.writes(4) is None
    desk.certify(2)
    assert desk.ledger.writes(2) is None
    assert desk.ledger.writes(3) == third


@pytest.mark.parametrize("viewer", [OPERATOR_ELSEWHERE, STRANGER])
async def test_operators_and_this_machines_user_set_the_log_level(desk: Desk, viewer: Viewer) -> None:
    told = await operating(desk).set_log_level(LogLevelParams(logger=LOGGER, level="debug"), viewer)
    assert told.levels[LOGGER] == "debug"
    assert logging.getLogger(LOGGER).isEnabledFor(logging.DEBUG)
    told = await operating(desk).set_log_level(LogLevelParams(logger=LOGGER, level="inherit"), viewer)
    assert LOGGER not in told.levels


@pytest.mark.parametrize(
    ("viewer", "expected"),
    [
        (ELSEWHERE, ("IDENTITY_REQUIRED", 401)),
        (Viewer(ALICE.signer, "seller", origin="192.0.2.1"), ("OPERATOR_REQUIRED", 403)),
    ],
    ids=["stranger", "seller"],
)
async def test_nobody_else_does(desk: Desk, viewer: Viewer, expected: tuple[str, int]) -> None:
    with pytest.raises(Refused) as refused:
        await operating(desk).set_log_level(LogLevelParams(logger=LOGGER, level="debug"), viewer)
    assert (refused.value.problem.code, refused.value.problem.status) == expected
    assert logging.getLogger(LOGGER).level == logging.NOTSET


async def test_another_channels_operator_does_not_rule_the_process(desk: Desk) -> None:
    with pytest.raises(Refused, match="main channel"):
        await operating(desk, is_main=False).set_log_level(LogLevelParams(level="debug"), OPERATOR_ELSEWHERE)


async def test_a_logger_that_is_not_there_is_not_made(desk: Desk) -> None:
    with pytest.raises(Refused, match=r"no logger 'wattq\.nosuch'"):
        await operating(desk).set_log_level(LogLevelParams(logger="wattq.nosuch", level="debug"), STRANGER)
    assert "wattq.nosuch" not in logging.root.manager.loggerDict


def test_the_level_of_all_is_the_roots() -> None:
    assert set_level("", "error")
    assert levels()[""] == "error"


def test_a_json_line_is_one_object_with_time_level_and_logger() -> None:
    record = logging.LogRecord("wattq.pbft", logging.WARNING, "", 0, "line\nbreak %s", ("x",), None)
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["logger"], line["message"]) == ("warning", "wattq.pbft", "line\nbreak x")
    assert line["time"].endswith("Z")
