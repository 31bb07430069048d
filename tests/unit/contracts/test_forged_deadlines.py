"""Deadlines that a lying machine might set, leave out or aim elsewhere, and what it might have one do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from auctions import PRODUCT, AuctionMarket, Order
from contract_market import INTERVAL_MS
from deadline_calls import DEADLINES, clearing, entered, worked_to, working
from forgery import Outcome
from lies import verdict
from signed_calls import CASES, Case
from single_changes import others

from contracts.catalog import shipped_sources
from contracts.language import check
from contracts.rules.terms import TRADES_MAX
from contracts.validation import Violation

DEADLINE = "system/deadline/"


def signed(make: Callable[[], Case]) -> Outcome:
    market, contract, function, args, signers = make()
    return Outcome(market, contract, function, args, *signers)


def outcome_of(name: str) -> Outcome:
    outcome = DEADLINES[name]() if name in DEADLINES else signed(CASES[name])
    assert outcome.verdict() is None
    return outcome


@pytest.mark.parametrize("name", [*CASES, *DEADLINES])
@pytest.mark.parametrize("moved_ms", [-1, 1, 10**12])
def test_a_deadline_at_another_time_is_refused(name: str, moved_ms: int) -> None:
    outcome = outcome_of(name)
    lawful = dict(outcome.view.writes)
    for key in outcome.keys(DEADLINE):
        at_ms, _, rest = key[len(DEADLINE) :].partition("/")
        outcome.view.writes = {k: v for k, v in lawful.items() if k != key}
        outcome.view.writes[f"{DEADLINE}{int(at_ms) + moved_ms:015d}/{rest}"] = lawful[key]
        assert outcome.verdict() == Violation.DEADLINE


@pytest.mark.parametrize(
    ("contract", "function", "args"),
    [
        ("settlement", "close_metering", ["m-bea", 2_000_000]), ("settlement", "mark_overdue", ["x"]),
        ("auction", "clear", ["valley", 2_000_000]), ("auction", "rescue", ["valley", 2_000_000, 0]),
        ("market", "close_gate", [2_000_000]), ("offers", "close_gate", [2_000_000]), ("governance", "x", []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", [*CASES, *DEADLINES])
def test_no_call_sets_a_deadline_of_a_shipped_contract_that_nothing_needs(
    name: str, contract: str, function: str, args: list[object]
) -> None:
    """A listing could have somebody else's meter settled without a reading, before anything was delivered."""
    outcome = outcome_of(name)
    at = f"{0:015d}/{outcome.call.height:012d}/{outcome.call.index:05d}/999"
    outcome.put(DEADLINE + at, {"args": args, "contract": contract, "function": function})
    assert outcome.verdict() in (Violation.DEADLINE, Violation.NAMESPACE)


@pytest.mark.parametrize("name", DEADLINES)
def test_a_deadline_acts_within_its_arguments(name: str) -> None:
    """One of an interval could expire another's orders, one of a meter settle another's trades."""
    outcome = outcome_of(name)
    args = list(outcome.call.args)
    for at, value in enumerate(args):
        # Which step it is that is no longer the last one is all the same.
        for other in others(value) if (name, at) != ("rescue_of_what_goes_on", 2) else []:
            if type(other) is bool:  # none is set so
                continue
            outcome.call = replace(outcome.call, args=[*args[:at], other, *args[at + 1 :]])
            assert outcome.verdict() is not None, (at, other)


@pytest.mark.parametrize("name", DEADLINES)
def test_a_deadline_does_what_its_function_is_for(name: str) -> None:
    outcome = outcome_of(name)
    function = outcome.call.function
    for each in check(shipped_sources()[outcome.call.contract]).functions.values():
        if each.marker == "deadline" and each.name != function:
            outcome.call = replace(outcome.call, function=each.name)
            assert outcome.verdict() is not None, each.name


STAGES = ("open", "forfeit", "screen", "match", "mechanism", "level", "share", "fill", "rest", "done", "none")


@pytest.mark.parametrize("name", [name for name in DEADLINES if name.startswith(("clear", "work", "rescue"))])
def test_a_clearing_takes_its_stages_in_order(name: str) -> None:
    """It could skip to its end, and nobody's orders would be matched."""
    outcome = outcome_of(name)
    for key in outcome.keys("auction/run/"):
        run = outcome.get(key)
        for stage in STAGES:
            # A step may leave the rest of its stage to the next.
            if stage not in (run["stage"], outcome.market.get(key)["stage"]):
                outcome.put(key, {**run, "stage": stage})
                assert outcome.verdict() is not None, stage


def test_what_one_interval_forfeits_is_not_done_by_another() -> None:
    market = entered()
    market.interval += 1
    market.chain.time_ms = market.clear_ms
    outcome = working(worked_to("forfeit", market))
    assert outcome.keys("auction/sealed/")
    outcome.call = replace(outcome.call, args=[PRODUCT, market.interval - 1])
    assert outcome.verdict() is not None


def test_nothing_is_forfeited_before_the_clearing_is_at_it() -> None:
    market = entered()
    begun = clearing(market)
    begun.apply()
    forfeiting = working(market)
    for key in forfeiting.keys("auction/run/"):
        market.chain.put(key, {**market.get(key), "stage": "open"})
    assert forfeiting.verdict() is not None


# ------------------------------------------------------------------------------- steps that leave something out

RUN = "auction/run/"
UNMATCHED = {"after": "", "left_wh": 0, "price": 0, "matched": 0, "level_wh": 0}


def crossing(*entered: tuple[str, str, int, int], ties: str = "time") -> AuctionMarket:
    """Orders at gate closure: side, who, Wh, price."""
    market = AuctionMarket(ties=ties)
    for side, who, energy_wh, price in entered:
        market.enter(side, who, energy_wh, price)
    market.chain.time_ms = market.clear_ms
    return market


def skipping(at: str, market: AuctionMarket, **fields: object) -> Outcome:
    """A step from stage ``at`` on that does nothing but go on as ``fields`` say."""
    outcome = working(market if market.result()["stage"] == at else worked_to(at, market))
    (key,) = outcome.keys(RUN)
    run = market.get(key)
    outcome.view.writes = {name: data for name, data in outcome.view.writes.items() if name.startswith(DEADLINE)}
    outcome.put(key, {**run, "steps": run["steps"] + 1, **fields})
    return outcome


def test_what_nobody_revealed_is_forfeited_before_the_screening() -> None:
    """It was held for ever: a cleared auction neither reveals nor forfeits."""
    outcome = skipping("forfeit", entered(), stage="screen", side="bid", after="")
    assert outcome.verdict() == Violation.AUCTION


@pytest.mark.parametrize("barred", ["user", "meter"])
@pytest.mark.parametrize("side", ["bid", "ask"])
@pytest.mark.parametrize("passed", [True, False])
def test_each_order_is_screened(barred: str, side: str, passed: bool) -> None:
    """Who was suspended, or whose meter was, sold and bought all the same."""
    market = crossing(("ask", "sol", 100, 5), ("bid", "bea", 100, 9))
    who = "sol" if side == "ask" else "bea"
    function, args = ("suspend", {"user": who}) if barred == "user" else ("suspend_meter", {"meter": f"m-{who}"})
    market.ok("registry", function, {**args, "reason": "x"}, "op1")
    worked_to("screen", market)
    run = market.result()
    if side == "ask":
        (key,) = [key for key in market.chain.state.entries if key.startswith(RUN)]
        market.chain.put(key, {**run, "side": "ask"})
    (row,) = [key for key in market.chain.state.entries if key.startswith(f"auction/{side}/")]
    fields: dict[str, object] = {"after": "", "side": "ask"}
    if passed:
        fields = {"after": row.removeprefix("auction/")}
    elif side == "ask":
        fields = {"after": "", "stage": "match", "side": "bid", "bid": UNMATCHED, "ask": UNMATCHED}
    outcome = skipping("screen", market, **fields)
    assert outcome.verdict() == Violation.AUCTION


def test_orders_that_meet_are_matched() -> None:
    """A clearing could say that there was nothing to trade."""
    market = crossing(("ask", "sol", 100, 5), ("bid", "bea", 100, 9))
    none = dict.fromkeys(("traded_wh", "gained", "price", "seller_price"), 0)
    assert skipping("match", market, stage="rest", side="bid", after="", **none).verdict() == Violation.AUCTION


@pytest.mark.parametrize(
    "fields",
    [
        {"low": 800, "high": 800, "price": 800, "seller_price": 800}, {"volume_wh": 100}, {"welfare": 10**15},
        {"low": -(10**6), "high": 10**6, "price": 0, "seller_price": 0}, {"rationed": "ask"},
    ],
)  # fmt: skip
def test_an_auctions_price_and_volume_are_those_of_its_books(fields: dict[str, object]) -> None:
    market = crossing(*(("ask", who, 100, price) for who, price in (("sol", 5), ("sun", 6))),
                      *(("bid", who, 100, price) for who, price in (("bea", 900), ("bob", 800))))  # fmt: skip
    outcome = working(worked_to("match", market))
    (key,) = outcome.keys(RUN)
    assert [outcome.get(key)[name] for name in ("price", "volume_wh", "low", "high")] == [403, 200, 6, 800]
    outcome.put(key, {**outcome.get(key), **fields})
    assert outcome.verdict() == Violation.AUCTION


@pytest.mark.parametrize("ties", ["time", "pro rata"])
def test_what_is_matched_is_traded(ties: str) -> None:
    market = crossing(("ask", "sol", 100, 5), ("bid", "bea", 70, 9), ("bid", "bob", 70, 9), ties=ties)
    nothing = dict.fromkeys(("price", "seller_price", "low", "high", "volume_wh", "welfare"), 0)
    assert skipping("fill", market, **nothing, stage="rest", side="bid", after="").verdict() == Violation.AUCTION


@pytest.mark.parametrize("side", ["bid", "ask"])
def test_the_best_orders_are_filled_first(side: str) -> None:
    """A machine that did not see the one that came first had the next one trade in its place."""
    asks_wh, bids_wh = (100, 50) if side == "ask" else (50, 100)
    market = crossing(*(("ask", who, asks_wh, 5) for who in ("sol", "sun")),
                      *(("bid", who, bids_wh, 9) for who in ("bea", "bob")))  # fmt: skip
    worked_to("fill", market)
    assert market.result()["volume_wh"] == 100
    state = market.chain.state
    best = min(key for key in state.entries if key.startswith(f"auction/{side}/"))
    entry = state.entries[best]
    state.apply({best: None})
    outcome = working(market)
    state.apply({best: entry})
    assert outcome.keys("settlement/trade/")
    assert outcome.verdict() == Violation.AUCTION


def begun_again(outcome: Outcome, **fields: object) -> Outcome:
    """The step's outcome, the ask's side of which says otherwise where it is."""
    (key,) = outcome.keys(RUN)
    run = outcome.get(key)
    outcome.put(key, {**run, "ask": {**run["ask"], **fields}})
    return outcome


def test_what_is_left_is_filled_where_orders_go_pro_rata() -> None:
    """What an ask could not sell would be nobody's."""
    outcome = outcome_of("work_fill_that_begins_again")
    (key,) = outcome.keys(RUN)
    run, old = outcome.get(key), outcome.market.get(key)
    assert [run["stage"], run["ask"]["again"], old["ask"]["again"]] == ["fill", True, False]
    outcome.put(key, {**run, "stage": "rest", "side": "bid", "after": ""})
    assert outcome.verdict() == Violation.AUCTION
    for fields in ({"after": "z"}, {"again": False}, {"given_wh": 1}, {"share_wh": 1}, {"number": 1}, {"order": "x"}):
        assert begun_again(outcome_of("work_fill_that_begins_again"), **fields).verdict() == Violation.AUCTION


def test_orders_get_their_parts_before_what_is_left() -> None:
    market = worked_to("fill", entered("pro rata"))
    run = market.result()
    fresh = {side: {**run[side], "again": True} for side in ("bid", "ask")}
    assert skipping("fill", market, extra_wh=0, **fresh).verdict() == Violation.AUCTION


@pytest.mark.parametrize("name", ["work_fill_again", "work_fill", "work_fill_of_its_own"])
def test_what_is_left_is_filled_once_and_pro_rata_alone(name: str) -> None:
    """A clearing could go on for ever."""
    outcome = outcome_of(name)
    (key,) = outcome.keys(RUN)
    run, old = outcome.get(key), outcome.market.get(key)
    fresh = {"after": "", "given_wh": 0, "order": "", "share_wh": 0, "number": 0, "again": True}
    sides = {side: {**old[side], **fresh} for side in ("bid", "ask")}
    outcome.put(key, {**run, **sides, "stage": "fill", "side": "bid", "after": ""})
    assert outcome.verdict() == Violation.AUCTION


def test_what_is_left_is_not_passed_over() -> None:
    """A machine could end an auction once all had their parts."""
    market = worked_to("fill", entered("pro rata"))
    call = ("auction", "work", [PRODUCT, market.interval])
    again = 'if not more and run["ties"] == "pro rata" and'
    assert verdict(market, call, ()) is None
    assert verdict(market, call, (), lambda state: state.edit("auction", again, "if False and")) == Violation.AUCTION


def test_an_ask_that_sold_all_its_part_is_not_full() -> None:
    """Its owner would be told of trades that it could not make, and what is left of it be out of the book."""
    market = AuctionMarket(ties="pro rata")
    for side, who in (("ask", "sun"), ("ask", "sol"), ("bid", "bea")):
        market.enter(side, who, 100, 5)
    market.chain.time_ms = market.clear_ms
    market.chain.put(f"settlement/count/m-sun/{market.interval:010d}", TRADES_MAX - 1)
    worked_to("fill", market)
    call = ("auction", "work", [PRODUCT, market.interval])
    saved = '    put("order/" + record["id"], record)\n\n\ndef rest'
    full = '    if record["meter"] == "m-sun":\n        end_order(record, "full", "TOO_MANY_TRADES")\n        return\n'
    assert verdict(market, call, ()) is None
    assert verdict(market, call, (), lambda state: state.edit("auction", saved, full + saved)) == Violation.AUCTION


@pytest.mark.parametrize("ties", ["time", "pro rata"])
def test_no_ask_is_full_before_its_meter_has_all_its_trades(ties: str) -> None:
    """Regression: a machine passed over the best ask of a meter with ninety-nine trades, let the meter's next one make
    the hundredth, and gave others what was the first one's to sell."""
    market = AuctionMarket(ties=ties)
    first = market.enter("ask", "sun", 1_000, 5)
    for side, who, energy_wh in (("ask", "sun", 1), ("ask", "sol", 1_000), ("bid", "bea", 1_000)):
        market.enter(side, who, energy_wh, 5)
    market.chain.time_ms = market.clear_ms
    market.chain.put(f"settlement/count/m-sun/{market.interval:010d}", TRADES_MAX - 1)
    worked_to("fill", market)
    call = ("auction", "work", [PRODUCT, market.interval])
    passed_over = "if counts[meter] >= TRADES_MAX"
    assert verdict(market, call, ()) is None
    found = verdict(
        market, call, (), lambda state: state.edit("auction", passed_over, f'{passed_over} or ask["id"] == "{first}"')
    )
    assert found in (Violation.AUCTION, Violation.SIGNATURES)


def test_a_trade_is_not_split() -> None:
    """A meter has a hundred trades in an interval: what is over stays unsold."""
    market = crossing(("ask", "sol", 100, 5), ("bid", "bea", 100, 9))
    outcome = working(worked_to("fill", market))
    (trade,) = outcome.keys("settlement/trade/")
    (share,) = outcome.keys("settlement/share/")
    (count,) = outcome.keys("settlement/count/")
    parties = outcome.keys("settlement/party/")
    run = outcome.get(outcome.keys(RUN)[0])
    half = {**outcome.get(trade), "energy_wh": 50}
    for key, value in {trade: half, share: [50, None, 0], **{key: outcome.get(key) for key in parties}}.items():
        outcome.put(key, value)
        outcome.put(f"{key[:-3]}001", {**half, "id": f"{half['id'][:-3]}001"} if key == trade else value)
    outcome.put(count, 2)
    outcome.put(outcome.keys(RUN)[0], {**run, "trades": 2})
    assert outcome.verdict() == Violation.AUCTION


@pytest.mark.parametrize("at", ["forfeit", "screen", "match", "level", "share", "fill", "rest"])
def test_a_step_that_gets_nowhere_is_none(at: str) -> None:
    """Nobody's orders come back as long as steps are made."""
    assert skipping(at, entered("pro rata")).verdict() == Violation.AUCTION


@pytest.mark.parametrize("goes_on", [{"side": "ask"}, {"side": "side"}, {"stage": "done"}])
def test_what_is_left_is_given_back_before_the_end(goes_on: dict[str, str]) -> None:
    """It was held for ever: nobody's order leaves a cleared auction."""
    market = crossing(("ask", "sol", 100, 500), ("bid", "bea", 100, 9))
    assert skipping("rest", market, **goes_on).verdict() == Violation.AUCTION


def test_who_stood_where_is_forgotten_before_the_end() -> None:
    outcome = DEADLINES["work_to_the_end"]()
    left = next(key for key in outcome.view.writes if key.startswith("auction/side/"))
    del outcome.view.writes[left]
    assert outcome.verdict() == Violation.AUCTION


def test_a_gate_closes_once_nothing_stands_there() -> None:
    outcome = DEADLINES["market_gate_in_part"]()
    interval = outcome.market.interval
    outcome.view.writes = {k: v for k, v in outcome.view.writes.items() if not k.startswith(DEADLINE)}
    outcome.put(f"market/gate/{interval:010d}", "closed")
    assert outcome.verdict() == Violation.DEADLINE


def test_the_first_order_of_an_auction_sets_its_clearing() -> None:
    """Without it the money of all that entered was held for ever."""
    market = AuctionMarket()
    outcome = Outcome(market, "auction", "place_order", market.entry(Order("bid", "bea", 10, 5)), "bea")
    del outcome.view.writes[outcome.keys(DEADLINE)[0]]
    assert outcome.verdict() == Violation.DEADLINE


@pytest.mark.parametrize("after_ms", [0, 8 * INTERVAL_MS])
def test_each_trade_of_an_interval_that_is_over_is_settled_in_the_end(after_ms: int) -> None:
    """An auction that a chain which stood still clears late trades after the meter's own deadline."""
    late = AuctionMarket()
    for _ in range(2):
        late.enter("ask", "sol", 10, 5)
        late.enter("bid", "bea", 10, 5)
    late.chain.time_ms = late.clear_ms
    worked_to("fill", late)
    late.chain.time_ms = (late.interval + 1) * INTERVAL_MS + after_ms - 1
    outcome = working(late)
    metering = [key for key in outcome.keys(DEADLINE) if outcome.get(key)["function"] == "close_metering"]
    assert len(metering) == len(outcome.keys("settlement/trade/")) == 2
    assert outcome.verdict() is None
    del outcome.view.writes[metering[0]]
    assert outcome.verdict() == Violation.DEADLINE
