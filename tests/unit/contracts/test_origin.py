"""Certificates of origin: as much as was exported, once, passed on or claimed, and never more after a correction."""

from __future__ import annotations

from typing import Any

import pytest
from contract_market import Market
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def read(market: Market, export_wh: int = 1_000, sequence: int = 1, **changed: Any) -> None:
    market.to_end()
    market.read(export_wh=export_wh, sequence=sequence, **changed)


def mint(market: Market, who: str = "sol") -> list[str]:
    return list(market.ok("origin", "mint", {"meter": "m-sol", "intervals": [market.interval]}, who))


def certificates(market: Market) -> list[tuple[str, int, str]]:
    return [(c["owner"], c["energy_wh"], c["status"]) for c in market.records("origin/certificate/")]


def transfer(market: Market, name: str, energy_wh: int, who: str = "sol", to: str = "bea") -> str:
    args = {"certificate_id": name, "to": to, "energy_wh": energy_wh}
    return str(market.ok("origin", "transfer", args, who))


def claim(market: Market, name: str, energy_wh: int, who: str = "sol") -> str:
    args = {"certificate_id": name, "energy_wh": energy_wh, "purpose": "Home"}
    return str(market.ok("origin", "claim", args, who))


def test_what_was_exported_is_certified_once(market: Market) -> None:
    read(market)
    (name,) = mint(market, "gate")
    assert certificates(market) == [("sol", 1_000, "active")]
    assert mint(market) == []
    assert market.chain.view("origin", "get_certificate", {"certificate_id": name}).value["meter"] == "m-sol"
    listed = market.chain.view("origin", "certificates_of", {"meter": "m-sol", "interval": market.interval}).value
    assert [each["id"] for each in listed] == [name]


def test_a_certificate_is_the_owners_at_the_reading(market: Market) -> None:
    read(market)
    market.bind("m-sol", "sun")
    mint(market, "sun")
    assert certificates(market) == [("sol", 1_000, "active")]


def test_a_certificate_is_passed_on_in_parts_and_used_up_by_a_claim(market: Market) -> None:
    read(market)
    (name,) = mint(market)
    part = transfer(market, name, 300)
    assert part != name
    claimed = claim(market, part, 100, "bea")
    assert transfer(market, part, 200, "bea", "bob") == part, "the whole keeps its name"
    assert certificates(market) == [("sol", 700, "active"), ("bob", 200, "active"), ("bea", 100, "claimed")]
    for function, args in (("claim", {"purpose": ""}), ("transfer", {"to": "bob"})):
        again = {"certificate_id": claimed, "energy_wh": 1, **args}
        assert market.code("origin", function, again, "bea") == "NOT_ACTIVE"


@pytest.mark.parametrize("quality", ["stale", "suspect", "missing"])
def test_only_usable_readings_are_certified(market: Market, quality: str) -> None:
    args = {"meter": "m-sol", "intervals": [market.interval]}
    assert market.code("origin", "mint", args, "sol") == "NOT_METERED"
    read(market, quality=quality)
    assert market.code("origin", "mint", args, "sol") == "NOT_METERED"


def test_a_correction_upwards_lets_the_rest_be_certified(market: Market) -> None:
    read(market)
    mint(market)
    read(market, 1_250, 2)
    mint(market)
    assert certificates(market) == [("sol", 1_000, "active"), ("sol", 250, "active")]


def test_a_correction_downwards_cuts_the_latest_and_claims_last(market: Market) -> None:
    read(market)
    (name,) = mint(market)
    claim(market, transfer(market, name, 400), 400, "bea")
    transfer(market, name, 300, to="bob")
    read(market, 600, 2)
    assert sum(energy_wh for _, energy_wh, _ in certificates(market)) == 600
    assert certificates(market) == [("sol", 200, "active"), ("bea", 400, "claimed"), ("bob", 0, "cut")]
    read(market, 100, 3)
    assert certificates(market) == [("sol", 0, "cut"), ("bea", 100, "claimed"), ("bob", 0, "cut")]
    read(market, 500, 4)
    mint(market)
    assert certificates(market)[-1] == ("sol", 400, "active")


def test_who_loses_a_certificate_is_told(market: Market) -> None:
    read(market)
    transfer(market, mint(market)[0], 400)
    result = market.call(
        "settlement", "submit_readings", {"readings": [market.reading(export_wh=700, sequence=2)]}, "gate"
    )
    told = [(event.data["owner"], event.data["energy_wh"]) for event in result.events if event.name == "cut"]
    assert told == [("bea", 300)]


@pytest.mark.parametrize(
    ("function", "changed", "who", "code"),
    [
        ("mint", {"intervals": [1]}, "sol", "NOT_METERED"), ("mint", {"intervals": ["x"]}, "sol", "INTERVAL_INVALID"),
        ("mint", {"intervals": [-1]}, "sol", "INTERVAL_INVALID"), ("mint", {"intervals": [1] * 101}, "sol", "TOO_MANY"),
        ("transfer", {"energy_wh": 0}, "sol", "ENERGY_INVALID"),
        ("transfer", {"energy_wh": 1_001}, "sol", "ENERGY_INVALID"),
        ("transfer", {"to": "sol"}, "sol", "SAME_OWNER"), ("transfer", {"to": "nobody"}, "sol", "NOT_REGISTERED"),
        ("transfer", {"to": "gate"}, "sol", "ROLE_REQUIRED"), ("transfer", {}, "bob", "NOT_YOURS"),
        ("transfer", {"certificate_id": "none"}, "sol", "NOT_FOUND"), ("claim", {}, "bea", "NOT_YOURS"),
        ("claim", {"purpose": "x" * 257}, "sol", "PURPOSE_INVALID"),
        ("claim", {"energy_wh": -1}, "sol", "ENERGY_INVALID"),
    ],
)  # fmt: skip
def test_bad_calls(market: Market, function: str, changed: dict[str, Any], who: str, code: str) -> None:
    read(market)
    (name,) = mint(market)
    args: dict[str, dict[str, Any]] = {
        "mint": {"meter": "m-sol", "intervals": [market.interval]},
        "transfer": {"certificate_id": name, "to": "bea", "energy_wh": 100},
        "claim": {"certificate_id": name, "energy_wh": 100, "purpose": "x"},
    }
    assert market.code("origin", function, {**args[function], **changed}, who) == code


def test_who_has_a_part_uses_up_no_other_owners_parts(market: Market) -> None:
    """The buyer of 10 Wh cut them into pieces until the owner of the other 990 could pass no part on."""
    read(market)
    (name,) = mint(market)
    part = transfer(market, name, 100)
    cut = 0
    while market.call("origin", "transfer", {"certificate_id": part, "to": "bob", "energy_wh": 1}, "bea").code == "OK":
        cut += 1
    assert cut == 3
    assert market.code("origin", "claim", {"certificate_id": part, "energy_wh": 1, "purpose": ""}, "bea") == (
        "TOO_MANY_PARTS"
    )
    for _ in range(32):
        transfer(market, name, 1)
    read(market, 1_100, 2)
    (later,) = mint(market)
    assert transfer(market, later, 1) != later


def test_a_certificate_from_before_parts_were_counted_is_passed_on_whole(market: Market) -> None:
    read(market)
    (name,) = mint(market)
    record = market.get(f"origin/certificate/{name}")
    market.chain.put(f"origin/certificate/{name}", {key: item for key, item in record.items() if key != "parts"})
    args = {"certificate_id": name, "to": "bea", "energy_wh": 1}
    assert market.code("origin", "transfer", args, "sol") == "TOO_MANY_PARTS"
    assert transfer(market, name, 1_000) == name


def test_the_greatest_correction_can_be_told_of() -> None:
    """A hundred trades under mandates and as many certificates as there can be: 66 of these were 10 events too many, so
    that the seller kept what it was paid for energy that was not delivered."""
    market = Market()
    for who in ("sol", "bea"):
        market.ok("settlement", "set_mandate", {"granted": True}, who)
    for account in ("balancing", "grid"):
        market.ok("credit", "deposit", {"account": account, "amount": 10**9}, "op1", "op2")
    listing = market.offer("sol", energy_wh=100_000, lot_wh=1)
    for _ in range(100):
        market.take(listing, 1_000)
    for sequence in range(9):
        read(market, 100_000 + 10 * sequence, sequence + 1)
        (name,) = mint(market)
        args = {"certificate_id": name, "to": "bea", "energy_wh": 1}
        while market.call("origin", "transfer", args, "sol").code == "OK":
            pass
    made = len(market.records("origin/certificate/"))
    result = market.call("settlement", "submit_readings", {"readings": [market.reading("sol", 0, 10)]}, "gate")
    assert (made, result.code, len(result.events)) == (53, "OK", 200 + made)


def test_so_many_parts_come_off_what_is_minted_first(market: Market) -> None:
    read(market)
    (name,) = mint(market)
    for _ in range(36):
        transfer(market, name, 1)
    args = {"certificate_id": name, "to": "bea", "energy_wh": 1}
    assert market.code("origin", "transfer", args, "sol") == "TOO_MANY_PARTS"
    read(market, 0, 2)
    assert {status for _, _, status in certificates(market)} == {"cut"}


WHO = st.sampled_from(["sol", "bea", "bob"])
ACT = st.one_of(
    st.tuples(st.just("read"), st.integers(0, 50), st.sampled_from(["good", "estimated"])),
    st.tuples(st.just("mint")),
    st.tuples(st.just("transfer"), st.integers(0, 20), st.integers(1, 30), WHO, WHO),
    st.tuples(st.just("claim"), st.integers(0, 20), st.integers(1, 30), WHO),
)


@settings(max_examples=40, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ACT, min_size=5, max_size=40))
def test_certificates_never_come_to_more_than_the_export(acts: list[tuple[Any, ...]]) -> None:
    market = Market()
    market.to_end()
    for sequence, (kind, *rest) in enumerate(acts, start=1):
        names = [record["id"] for record in market.records("origin/certificate/")] or ["none"]
        if kind == "read":
            reading = market.reading(export_wh=rest[0], quality=rest[1], sequence=sequence)
            market.call("settlement", "submit_readings", {"readings": [reading]}, "gate")
        elif kind == "mint":
            market.call("origin", "mint", {"meter": "m-sol", "intervals": [market.interval]}, "sol")
        elif kind == "transfer":
            args = {"certificate_id": names[rest[0] % len(names)], "energy_wh": rest[1], "to": rest[3]}
            market.call("origin", "transfer", args, rest[2])
        else:
            args = {"certificate_id": names[rest[0] % len(names)], "energy_wh": rest[1], "purpose": ""}
            market.call("origin", "claim", args, rest[2])
        place = f"m-sol/{market.interval:010d}"
        reading = market.get(f"settlement/reading/{place}") or {"export_wh": 0}
        energy_wh = sum(record["energy_wh"] for record in market.records("origin/certificate/"))
        assert energy_wh <= reading["export_wh"]
        assert energy_wh == (market.get(f"origin/minted/{place}") or {"energy_wh": 0})["energy_wh"]
