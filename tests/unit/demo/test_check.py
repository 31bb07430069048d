"""The day's verdict: it names the replica that is bad, and says whether the day showed what it should."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from ledgers import GENESIS, START_MS, Approves, BoxMachine, open_ledger, run_block

from cli.demo import recompute
from demo.check import Check, Damaged, Outcome, Recomputed, recompute_all, verdicts
from demo.journal import Journal
from ledger.genesis import write_genesis
from ledger.replay import replay

NAMES = ("node1", "node2", "node3", "node4")


def listing(energy_wh: int) -> dict[str, Any]:
    return {"type": "listing", "meter": "M", "interval": 7, "price": 5, "energy_wh": energy_wh}


def trade(energy_wh: int, delivered_wh: int, penalty: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "type": "trade",
        "meter": "M",
        "interval": 7,
        "price": 5,
        "imbalance_price": 4_000,
        "source": "listing",
        "energy_wh": energy_wh,
        "delivered_wh": delivered_wh,
        "penalty": penalty,
        "status": "settled",
        "seller_confirmed": True,
        "buyer_confirmed": True,
        **changes,
    }


def state_of(*trades: dict[str, Any]) -> dict[str, Any]:
    """A day's end with one listing of 100 Wh, a reading that covers it, and these trades."""
    reading = {"type": "reading", "meter": "M", "interval": 7, "export_wh": 1_000}
    account = {"available": 10, "held": 0}
    rows = {f"settlement/trade/{number}": item for number, item in enumerate(trades)}
    fixed = {"credit/total": 10, "credit/account/a": account, "r": reading, "l": listing(100)}
    return {**fixed, **rows}


def journal_of(tmp_path: Path, refusals: int = 1) -> Journal:
    journal = Journal(tmp_path / "journal.jsonl", acknowledged={"t1": 3})
    journal.refusals["NOT_ENOUGH_LEFT"] = refusals
    return journal


SOUND = Recomputed(9, "ab" * 32, state_of(trade(50, 40, 40), trade(50, 50)), {"t1": 1})


def judge(tmp_path: Path, *outcomes: Outcome, whole: bool = True, refusals: int = 1) -> dict[str, Check]:
    found = dict(zip(NAMES, outcomes, strict=False))
    return {check.name: check for check in verdicts(found, journal_of(tmp_path, refusals), whole)}


def test_a_good_day_holds(tmp_path: Path) -> None:
    checks = judge(tmp_path, *[SOUND] * 4)
    assert [name for name, check in checks.items() if not check.holds] == []
    assert checks["replicas"].detail.startswith("4 of 4 replicas agree on root abababababababab… at height 9")
    assert checks["day"].detail == (
        "2 partial takings (100 Wh), 1 shortfalls (10 Wh, 0.0000 charged at the imbalance price), 1 rejections"
    )


def test_a_bad_chain_is_named_and_the_others_are_judged(tmp_path: Path) -> None:
    checks = judge(tmp_path, SOUND, Damaged("INVALID at block 4: why"), SOUND, SOUND)
    assert not checks["replicas"].holds
    assert checks["replicas"].detail == (
        "3 of 4 replicas agree on root abababababababab… at height 9; node2: INVALID at block 4: why"
    )
    assert checks["energy"].holds


def test_the_first_replica_may_be_the_one_that_differs(tmp_path: Path) -> None:
    other = replace(SOUND, state_root="cd" * 32, state={})
    checks = judge(tmp_path, other, SOUND, SOUND, SOUND)
    assert checks["replicas"].detail.endswith("at height 9; node1: root cdcdcdcdcdcdcdcd…")
    assert checks["money"].holds


def test_no_sound_replica_is_a_verdict_too(tmp_path: Path) -> None:
    checks = judge(tmp_path, Damaged("INVALID at block 1: x"), Damaged("INVALID at block 2: y"))
    assert list(checks) == ["replicas"]
    assert not checks["replicas"].holds


def test_a_whole_day_must_show_a_partial_taking_a_shortfall_and_a_rejection(tmp_path: Path) -> None:
    dull = replace(SOUND, state=state_of(trade(100, 100)))
    check = judge(tmp_path, *[dull] * 4, refusals=0)["day"]
    assert (check.holds, check.detail.split("; ")[-1]) == (False, "no partial taking, no shortfall, no rejection")
    for state, refusals, missing in (
        (state_of(trade(100, 90, 40)), 1, "no partial taking"),
        (state_of(trade(50, 50)), 1, "no shortfall"),
        (SOUND.state, 0, "no rejection"),
    ):
        check = judge(tmp_path, *[replace(SOUND, state=state)] * 4, refusals=refusals)["day"]
        assert (check.holds, check.detail.split("; ")[-1]) == (False, missing)


def test_a_part_of_a_day_need_not(tmp_path: Path) -> None:
    dull = replace(SOUND, state=state_of(trade(100, 100)))
    assert judge(tmp_path, *[dull] * 4, refusals=0, whole=False)["day"].holds


def test_a_shortfall_at_another_price_fails(tmp_path: Path) -> None:
    wrong = replace(SOUND, state=state_of(trade(50, 40, 39)))
    check = judge(tmp_path, *[wrong] * 4, whole=False)["day"]
    assert not check.holds
    assert "1 shortfalls not charged at it" in check.detail


def test_a_trade_in_the_book_is_no_partial_taking(tmp_path: Path) -> None:
    booked = replace(SOUND, state=state_of(trade(50, 40, 40, source="book", price=6)))
    assert "0 partial takings (0 Wh)" in judge(tmp_path, *[booked] * 4, whole=False)["day"].detail


async def test_a_flipped_byte_is_found_by_the_checking_processes(tmp_path: Path) -> None:
    """The real engine, in processes of its own, over four directories of which one is damaged."""
    homes = [tmp_path / name for name in NAMES]
    ledger = open_ledger(homes[0] / "data")
    for _ in range(3):
        run_block(ledger)
    run_block(ledger, time_ms=START_MS + 1)
    ledger.close()
    genesis = tmp_path / "genesis.json"
    write_genesis(genesis, GENESIS)
    for home in homes[1:]:
        shutil.copytree(homes[0], home)
    (file,) = (homes[1] / "data" / "chain").glob("*.chain")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    outcomes = await recompute_all(recompute, homes, genesis, 4)
    expected = replay(homes[0] / "data" / "chain", genesis, BoxMachine(), Approves()).state_root.hex()
    assert [getattr(item, "state_root", "") for item in outcomes] == [expected, "", expected, expected]
    assert isinstance(outcomes[1], Damaged)
    assert outcomes[1].why.startswith("INVALID at block ")
