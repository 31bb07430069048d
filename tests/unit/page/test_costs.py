"""What the page says before somebody signs is what the contracts and the validation module's rules compute."""

from __future__ import annotations

import random
from hashlib import sha256
from typing import Any

import pytest
from contract_market import START_INTERVAL, Market
from page_calls import Call, page_calls, page_quotes

from contracts.parameters import MARKET_PARAMETERS
from contracts.rules.holds import _offer, _trade
from contracts.rules.trades import fees_of, owed

pytestmark = pytest.mark.needs("node")
DRAWS = 1_000
ZONES = ("north", "south", "hall")
MOST = 10**9


def draw(seed: str) -> random.Random:
    return random.Random(seed)  # inputs of a test, no secret


def terms(grid_fees: list[dict[str, Any]] | None = None, **parameters: int) -> dict[str, Any]:
    """As `GET /v1/terms` gives them."""
    return {"parameters": {**MARKET_PARAMETERS, **parameters}, "grid_fees": grid_fees or [], "products": []}


def test_what_is_owed_is_what_the_rules_say() -> None:
    drawn = draw("owed")
    calls: list[Call] = []
    expected = []
    for _ in range(DRAWS):
        price, energy_wh = drawn.randint(1, MOST), drawn.choice([drawn.randint(1, MOST), drawn.randint(1, 5_000)])
        trade = {
            "price": price, "grid_fee": drawn.randint(0, price), "imbalance_price": drawn.randint(0, MOST),
            "energy_wh": energy_wh, "fee_permille": drawn.randint(0, 1_000),
        }  # fmt: skip
        delivered_wh = drawn.randint(0, energy_wh)
        calls.append(("rules/settlement.js", "owed", [trade, delivered_wh, trade["fee_permille"]]))
        names = ("amount", "gridAmount", "fee", "penalty")
        expected.append(dict(zip(names, owed(trade, delivered_wh), strict=True)))
    assert page_calls(calls) == expected


def test_what_is_held_is_what_the_rules_say() -> None:
    drawn = draw("held")
    calls: list[Call] = []
    expected = []
    for _ in range(DRAWS):
        offer: dict[str, Any] = {
            "status": drawn.choice(["open", "open", "filled", "cancelled", "countered"]),
            "remaining_wh": drawn.randint(0, MOST), "side": drawn.choice(["ask", "bid"]), "owner": "a",
        }  # fmt: skip
        if drawn.random() < 0.5:
            offer = {**offer, "collateral_price": drawn.randint(0, MOST)}
        else:
            offer = {**offer, "seller": "a", "imbalance_price": drawn.randint(0, MOST)}
        calls.append(("rules/costs.js", "heldBy", [offer]))
        expected.append(sum(amount for _, amount in _offer(offer)))
    for _ in range(DRAWS):
        status = drawn.choice(["matched", "proposed", "overdue", "disputed", "settled"])
        trade: dict[str, Any] = {
            "status": status, "energy_wh": drawn.randint(1, MOST), "price": drawn.randint(1, MOST),
            "imbalance_price": drawn.randint(0, MOST), "amount": str(drawn.randint(5, 10**15)),
            "penalty": str(drawn.randint(5, 10**15)), "seller_disputed": drawn.randint(0, 5),
            "buyer_disputed": drawn.randint(0, 5), "seller": "seller", "buyer": "buyer",
        }  # fmt: skip
        held = dict(_trade({**trade, "amount": int(trade["amount"]), "penalty": int(trade["penalty"])}))
        for side in ("seller", "buyer"):
            calls.append(("rules/settlement.js", "tradeHeld", [trade, side]))
            expected.append(held.get(side, 0))
    assert page_calls(calls) == expected


def test_parts_of_fees_are_what_the_rules_say() -> None:
    drawn = draw("parts")
    calls: list[Call] = []
    expected = []
    for _ in range(DRAWS):
        amount = drawn.randint(1, 10**15)
        grid_amount = drawn.choice([0, amount, drawn.randint(0, amount)])
        trade = {"amount": amount, "grid_amount": grid_amount, "fee": drawn.randint(0, amount - grid_amount)}
        paid = drawn.choice([0, amount, drawn.randint(0, amount)])
        calls.append(("rules/settlement.js", "feesOf", [{name: str(trade[name]) for name in trade}, str(paid)]))
        grid, market = fees_of(trade, paid)
        expected.append({"grid": grid, "market": market})
    assert page_calls(calls) == expected


def test_what_an_act_holds_is_what_the_contracts_hold() -> None:
    """Each act of a drawn market: what the page says beforehand, and what the account shows afterwards."""
    drawn = draw("acts")
    market = zoned_market()
    known = terms([fee_from("north", "south", 35_000), fee_from("south", "north", 20_000)])
    calls: list[Call] = []
    moved: list[int] = []

    def act(call: Call, who: str, *what: Any) -> Any:
        before = market.held(who)
        value = market.ok(*what, who)
        calls.append(call)
        moved.append(market.held(who) - before)
        return value

    for number in range(60):
        market.interval = START_INTERVAL + 4 + number
        energy_wh, price = drawn.randint(2, 40_000), drawn.randint(100_001, 300_000)
        kind = number % 6
        if kind == 0:
            listing = act(
                ("rules/costs.js", "listingCosts", [known, energy_wh, price]), "sol",
                "market", "post_listing", market.listing_args(energy_wh=energy_wh, price=price, lot_wh=1),
            )  # fmt: skip
            part_wh = drawn.randint(1, energy_wh)
            record = market.get(f"market/listing/{listing}")
            act(
                ("rules/costs.js", "takingCosts", [known, record, "south", market.interval, part_wh]), "bea",
                "market", "take_listing", market.taking_args(listing, part_wh),
            )  # fmt: skip
        elif kind < 3:
            side, who = (("bid", "bea"), ("ask", "sol"))[kind - 1]
            placed = act(
                ("rules/costs.js", "orderCosts", [known, side, energy_wh, price]), who,
                "market", "place_order", market.order_args(side, who, energy_wh, price),
            )  # fmt: skip
            other_wh, other_price = drawn.randint(1, 40_000), drawn.randint(1, 300_000)
            record = market.get(f"market/order/{placed['order']}")
            act(
                ("rules/costs.js", "amendingCosts", [known, record, other_wh, other_price]), who,
                "market", "amend_order", {"order": placed["order"], "energy_wh": other_wh, "price": other_price},
            )  # fmt: skip
        elif kind < 5:
            side, who, other = (("ask", "sol", "bea"), ("bid", "bea", "sol"))[kind - 3]
            offered = {"to": other, "side": side, "meter": f"m-{who}", "interval": market.interval}
            offer = act(
                ("rules/costs.js", "orderCosts", [known, side, energy_wh, price]), who,
                "offers", "propose", {**offered, "energy_wh": energy_wh, "price": price},
            )  # fmt: skip
            record, zone = market.get(f"offers/offer/{offer}"), "south" if other == "bea" else "north"
            act(
                ("rules/costs.js", "acceptingCosts", [known, record, zone]), other,
                "offers", "accept", market.accepting_args(offer, other),
            )  # fmt: skip
        else:
            act(*sealed_act(market, known, drawn, energy_wh, price))
    told = page_calls(calls)
    assert [each["held"] - each["freed"] for each in told] == moved
    assert sum(moved) > 0, "something was held"


def sealed_act(
    market: Market, known: dict[str, Any], drawn: random.Random, energy_wh: int, price: int
) -> tuple[Any, ...]:
    salt = f"{drawn.getrandbits(128):032x}"
    text = f"bob/m-bob/{market.interval}/bid/{energy_wh}/{price}/{salt}"
    args = {"meter": "m-bob", "interval": market.interval, "commitment": sha256(text.encode()).hexdigest()}
    return ("rules/costs.js", "sealingCosts", [known]), "bob", "auction", "seal_order", args


def fee_from(from_zone: str, to_zone: str, fee: int, from_ms: int = 0, before: int = 0) -> dict[str, Any]:
    return {"from_zone": from_zone, "to_zone": to_zone, "fee": fee, "from_ms": from_ms, "before": before}


def zoned_market() -> Market:
    """Sol in the north, Bea in the south, Bob in the hall, which trades by auction; grid fees both ways."""
    market = Market()
    for who, zone in (("sol", "north"), ("bea", "south"), ("bob", "hall")):
        market.bind(f"m-{who}", who, zone=zone)
    for fee in (fee_from("north", "south", 35_000), fee_from("south", "north", 20_000)):
        args = {"from_zone": fee["from_zone"], "to_zone": fee["to_zone"], "fee": fee["fee"], "from_ms": 0}
        market.ok("governance", "set_grid_fee", args, "op1", "op2")
    product = {"name": "hall", "zones": ["hall"], "mechanism": "auction", "grid_fee": 0, "ties": "time"}
    market.ok("governance", "set_product", product, "op1", "op2")
    return market


def test_a_taker_signs_the_price_with_the_grid_fee_that_it_is_shown() -> None:
    """The page signed for no price: a fee that rose between what it showed and the execution was paid."""
    market = zoned_market()
    listing = market.get(f"market/listing/{market.offer(price=200_000)}")
    record = {**listing, "listing": listing["id"]}
    known = terms([fee_from("north", "south", 35_000)])
    (told,) = page_quotes([("acts/market.js", "takeListing", state_of(market, known, "south"), record, FILLED)])
    assert told["call"] == ["market", "take_listing", market.taking_args(listing["id"], 300)]
    assert told["facts"]["At most for each kWh"] == "0.2350 per kWh"
    market.ok("market", "take_listing", told["call"][2], "bea")


@pytest.mark.parametrize(
    ("side", "who", "to", "told"),
    [
        ("ask", "sol", "bea", ("At most for each kWh", "0.2350 per kWh")),
        ("bid", "bea", "sol", ("At least for each kWh, without grid fee", "0.1650 per kWh")),
    ],
)  # fmt: skip
def test_who_accepts_an_offer_signs_the_price_that_it_is_shown(
    side: str, who: str, to: str, told: tuple[str, str]
) -> None:
    market = zoned_market()
    terms_offered = {"meter": f"m-{who}", "interval": market.interval, "energy_wh": 300, "price": 200_000}
    offer = market.ok("offers", "propose", {"to": to, "side": side, **terms_offered}, who)
    known, record = terms([fee_from("north", "south", 35_000)]), market.get(f"offers/offer/{offer}")
    state = state_of(market, known, "south" if to == "bea" else "north", to)
    (quoted,) = page_quotes([("acts/offers.js", "accept", state, record, {"meter": f"m-{to}"})])
    assert quoted["call"] == ["offers", "accept", market.accepting_args(offer, to)]
    assert quoted["facts"][told[0]] == told[1]
    market.ok("offers", "accept", quoted["call"][2], to)


FILLED = {"meter": "m-bea", "energy_wh": 300}


def state_of(market: Market, known: dict[str, Any], zone: str, who: str = "bea") -> dict[str, Any]:
    """What the market's view knows of somebody whose meter is in ``zone``."""
    meter = {"meter": f"m-{who}", "zone": zone, "capacity_w": 400_000}
    return {"terms": known, "person": {"signer": who, "meters": [meter]}, "interval": market.interval, "meter": meter}


def test_the_grid_fee_and_the_gate_are_the_contracts() -> None:
    drawn = draw("fees")
    market = zoned_market()
    coming_ms = (START_INTERVAL + 800) * 900_000
    market.ok(
        "governance", "set_grid_fee",
        {"from_zone": "north", "to_zone": "south", "fee": 10_000, "from_ms": coming_ms}, "op1", "op2",
    )  # fmt: skip
    known = terms([fee_from("north", "south", 10_000, coming_ms, 35_000), fee_from("south", "north", 20_000)])
    calls: list[Call] = []
    expected = []
    for _ in range(200):
        from_zone, to_zone = drawn.choice(ZONES), drawn.choice(ZONES)
        interval = START_INTERVAL + drawn.randint(700, 900)
        calls.append(("rules/terms.js", "feeBetween", [known, from_zone, to_zone, interval]))
        args = {"from_zone": from_zone, "to_zone": to_zone, "interval": interval}
        expected.append(market.chain.view("market", "grid_fee", args).value)
    assert page_calls(calls) == expected
    assert len(set(expected)) == 4

    closes_ms = page_calls([("rules/terms.js", "gateMs", [known, market.interval])])[0]
    market.to(closes_ms - 2)
    assert market.code("market", "post_listing", market.listing_args(), "sol") == "OK", "a block comes 1 ms later"
    market.to(closes_ms)
    assert market.code("market", "post_listing", market.listing_args(), "sol") == "INTERVAL_CLOSED"


def test_a_sealed_order_is_committed_to_as_the_contract_reads_it() -> None:
    args = ["ab" * 32, "MTR-1", 2_000_004, "bid", 1_500, 210_000, "0123456789abcdef"]
    text = "/".join(str(part) for part in args)
    assert page_calls([("rules/commitment.js", "commitmentOf", args)]) == [sha256(text.encode()).hexdigest()]


def test_capacity_left_is_what_the_market_lets_be_offered() -> None:
    market = Market()
    first = market.offer(energy_wh=30_000)
    market.take(first, 10_000)
    market.ok("market", "cancel_listing", {"listing": first}, "sol")
    market.offer(energy_wh=20_000)
    market.order("ask", "sol", 15_000, 300_000)
    records = [*market.records("market/listing/"), *market.records("market/order/")]
    (sold,) = page_calls([("rules/costs.js", "soldWh", [records, "m-sol"])])
    assert sold == 45_000
    (left,) = page_calls([("rules/costs.js", "capacityLeftWh", [market.get("registry/meter/m-sol"), sold])])
    assert market.code("market", "post_listing", market.listing_args(energy_wh=left + 1), "sol") == "CAPACITY_EXCEEDED"
    assert market.code("market", "post_listing", market.listing_args(energy_wh=left), "sol") == "OK"


def test_amounts_are_written_without_loss() -> None:
    amounts = [0, 1, 200_000, 1_234_567, 10**15, -50, -1_500_000]
    written = page_calls([("rules/money.js", "textOf", [str(amount)]) for amount in amounts])
    assert written == ["0.00", "0.000001", "0.20", "1.234567", "1000000000.00", "-0.00005", "-1.50"]
