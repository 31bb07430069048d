"""Whatever happens to trades once they are made, in whatever order: readings good, bad, late and corrected, signatures,
mandates, policies, disputes, decisions, adjustments, certificates, transfers.

After every step an independent account of it all, from the records alone, says what everybody has and holds.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from contract_market import DEPOSIT, INTERVAL_MS, Market
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.execution import CallResult

PARTIES = ("sol", "sun", "bea", "bob")
SIGNERS = ("sol", "sun", "bea", "bob", "ann", "ada")
SELLER, BUYER, PARTY = st.sampled_from(["sol", "sun"]), st.sampled_from(["bea", "bob", "sun"]), st.sampled_from(PARTIES)
SIGNED = st.lists(st.sampled_from(SIGNERS), min_size=1, max_size=3, unique=True)
PICK = st.integers(0, 40)
ENERGY_WH, EXPORT_WH = st.integers(1, 20), st.integers(0, 60)
PRICE = st.sampled_from([1, 99_999, 200_000])
TRADES = st.lists(st.tuples(st.just("sol"), BUYER, ENERGY_WH, PRICE), min_size=2, max_size=6)
QUALITY = st.sampled_from(["good", "good", "good", "estimated", "suspect", "missing"])
OPEN = ("proposed", "overdue")
NEVER = ("INTERNAL", "UNBALANCED", "INSUFFICIENT_HOLD", "OUT_OF_GAS", "TYPE_MISMATCH", "VALUE_INVALID")


class Settlement(RuleBasedStateMachine):
    """One market, two meters, some intervals; the first has trades and is over."""

    @initialize(
        fee_permille=st.sampled_from([0, 10, 333]), grid_fee=st.sampled_from([0, 33_333]),
        mandated=st.sets(PARTY), trades=TRADES, company=st.booleans(),
    )  # fmt: skip
    def found(
        self,
        fee_permille: int,
        grid_fee: int,
        mandated: set[str],
        trades: list[Any],
        company: bool,
    ) -> None:
        self.market = market = Market({"imbalance_price": 333_333, "fee_permille": fee_permille})
        market.chain.user("ann", "buyer")
        market.chain.user("ada", "arbiter")
        market.ok("registry", "set_arbiter", {"user": "ada"}, "op1", "op2")
        fee = {"from_zone": "z", "to_zone": "z", "fee": grid_fee, "from_ms": 0}
        market.ok("governance", "set_grid_fee", fee, "op1", "op2")
        self.sequence = 0
        self.entered: Counter[str] = Counter(dict.fromkeys(PARTIES, DEPOSIT))
        for who in sorted(mandated):
            market.ok("settlement", "set_mandate", {"granted": True}, who)
        if company:
            args = {"account": "bea", "keys": ["bea", "ann"], "threshold": 2}
            market.ok("credit", "set_policy", args, "bea", "ann")
        for terms in trades:
            self.trade(*terms)
        market.to_end()

    # ---------------------------------------------------------------------------------------- what happens

    @rule(seller=SELLER, buyer=BUYER, energy_wh=ENERGY_WH, price=PRICE)
    def trade_later(self, seller: str, buyer: str, energy_wh: int, price: int) -> None:
        self.market.interval = max(self.market.interval, self.market.chain.time_ms // INTERVAL_MS + 2)
        self.trade(seller, buyer, energy_wh, price)

    def trade(self, seller: str, buyer: str, energy_wh: int, price: int) -> None:
        """Offer, and have all but 1 Wh of it taken."""
        args = self.market.listing_args(seller, energy_wh=energy_wh, price=price, lot_wh=1)
        listing = self.call("market", "post_listing", args, seller)
        if listing.code == "OK":
            taken = self.market.taking_args(listing.value, max(1, energy_wh - 1), buyer)
            self.call("market", "take_listing", taken, *self.market.signers(buyer))

    @rule(who=PARTY, granted=st.booleans())
    def mandate(self, who: str, granted: bool) -> None:
        self.call("settlement", "set_mandate", {"granted": granted}, who)

    @rule(threshold=st.integers(0, 2), signers=SIGNED)
    def policy(self, threshold: int, signers: list[str]) -> None:
        keys = ["bea", "ann"] if threshold else []
        self.call("credit", "set_policy", {"account": "bea", "keys": keys, "threshold": threshold}, *signers)

    @precondition(lambda self: self.records("trade"))
    @rule(pick=PICK, export_wh=EXPORT_WH, quality=QUALITY)
    def read(self, pick: int, export_wh: int, quality: str) -> None:
        """The first reading of a trade's meter and interval, or a later one."""
        trades = self.records("trade")
        trade = trades[pick % len(trades)]
        self.sequence += 1
        self.market.to((trade["interval"] + 1) * INTERVAL_MS)
        reading = self.market.reading(trade["seller"], export_wh, self.sequence, quality=quality)
        reading["interval"] = trade["interval"]
        self.call("settlement", "submit_readings", {"readings": [reading]}, "gate")

    @precondition(lambda self: self.open("trade"))
    @rule(pick=PICK, signers=SIGNED)
    def confirm(self, pick: int, signers: list[str]) -> None:
        self.call("settlement", "confirm", {"trade": self.chosen("trade", pick)["id"]}, *signers)

    @precondition(lambda self: self.open("trade"))
    @rule(pick=PICK)
    def confirm_by_both(self, pick: int) -> None:
        trade = self.chosen("trade", pick)
        signers = dict.fromkeys([trade["seller"], trade["buyer"], "ann"])
        self.call("settlement", "confirm", {"trade": trade["id"]}, *signers)

    @precondition(lambda self: self.open("trade"))
    @rule(pick=PICK, side=st.sampled_from(["seller", "buyer"]), part=st.integers(1, 3))
    def dispute(self, pick: int, side: str, part: int) -> None:
        trade = self.chosen("trade", pick)
        amount = trade["amount" if side == "buyer" else "penalty"] // part
        args = {"trade": trade["id"], "amount": amount, "reason": ""}
        self.call("settlement", "dispute", args, *dict.fromkeys([trade[side], "ann"]))

    @precondition(lambda self: self.open("dispute"))
    @rule(pick=PICK, part=st.integers(1, 3), signers=SIGNED)
    def resolve(self, pick: int, part: int, signers: list[str]) -> None:
        dispute = self.chosen("dispute", pick)
        args = {"dispute_id": dispute["id"], "paid": dispute["disputed"] // part}
        self.call("settlement", "resolve", args, *signers)

    @precondition(lambda self: self.open("trade"))
    @rule(pick=PICK)
    def decide(self, pick: int) -> None:
        self.call("settlement", "decide_trade", {"trade": self.chosen("trade", pick)["id"]}, "ada")

    @precondition(lambda self: self.open("adjustment"))
    @rule(pick=PICK, signers=SIGNED)
    def adjust(self, pick: int, signers: list[str]) -> None:
        args = {"adjustments": [self.chosen("adjustment", pick)["id"]]}
        self.call("settlement", "confirm_adjustments", args, *signers)

    @precondition(lambda self: self.open("adjustment"))
    @rule(pick=PICK)
    def adjust_by_both(self, pick: int) -> None:
        record = self.chosen("adjustment", pick)
        signers = dict.fromkeys([record["seller"], record["buyer"], "ann"])
        self.call("settlement", "confirm_adjustments", {"adjustments": [record["id"]]}, *signers)

    @precondition(lambda self: self.records("reading"))
    @rule(pick=PICK)
    def mint(self, pick: int) -> None:
        readings = self.records("reading")
        reading = readings[pick % len(readings)]
        self.call("origin", "mint", {"meter": reading["meter"], "intervals": [reading["interval"]]}, "gate")

    @precondition(lambda self: self.market.records("origin/certificate/"))
    @rule(pick=PICK, energy_wh=st.integers(1, 30), to=PARTY, claims=st.booleans())
    def pass_on(self, pick: int, energy_wh: int, to: str, claims: bool) -> None:
        records = self.market.records("origin/certificate/")
        record = records[pick % len(records)]
        args = {"certificate_id": record["id"], "energy_wh": min(energy_wh, max(1, record["energy_wh"]))}
        function, more = ("claim", {"purpose": ""}) if claims else ("transfer", {"to": to})
        self.call("origin", function, {**args, **more}, record["owner"])

    @rule(who=PARTY, to=PARTY, part=st.sampled_from([1, 2, 1_000]), signers=SIGNED)
    def transfer(self, who: str, to: str, part: int, signers: list[str]) -> None:
        amount = self.market.account(who)[0] // part
        args = {"account": who, "to": to, "amount": amount}
        if self.call("credit", "transfer", args, *dict.fromkeys([*signers, who])).code == "OK":
            self.entered[who] -= amount
            self.entered[to] += amount

    @rule(who=st.sampled_from([*PARTIES, "balancing", "grid"]))
    def withdraw(self, who: str) -> None:
        amount = self.market.account(who)[0] // 2
        if self.call("credit", "withdraw", {"account": who, "amount": amount}, "op1", "op2").code == "OK":
            self.entered[who] -= amount

    @rule(ms=st.sampled_from([1_000, 900_000, 7_200_000, 86_400_000]))
    def wait(self, ms: int) -> None:
        assert {code for code, _ in self.market.chain.advance(ms)} <= {"OK"}

    def call(self, contract: str, function: str, args: dict[str, Any], *signers: str) -> CallResult:
        """One transaction; whatever it is, it is refused by a contract's own code or it is right. Twice is as once."""
        result = self.market.call(contract, function, args, *signers)
        assert not result.code.startswith("VALIDATION_"), result
        assert result.code not in NEVER, result
        if function in ("confirm", "confirm_adjustments", "submit_readings") and result.code == "OK":
            before = self.accounts()
            self.market.call(contract, function, args, *signers)
            assert self.accounts() == before
        return result

    # ------------------------------------------------------------------------------------ what always holds

    @invariant()
    def money_is_where_the_records_say(self) -> None:
        """Each account has what came in, and what settled trades, decisions and adjustments brought it, once."""
        expected = Counter(self.entered)
        for trade in self.records("trade"):
            if trade["status"] in ("settled", "disputed"):
                paid = trade["amount"] - trade["buyer_disputed"]
                penalty = trade["penalty"] - trade["seller_disputed"]
                decided = {d["side"]: d["paid"] for d in self.records("dispute") if d["trade"] == trade["id"]}
                self.pay(expected, trade, paid + decided.get("buyer", 0), penalty + decided.get("seller", 0))
            elif trade["status"] != "matched":
                for dispute in self.records("dispute"):
                    if dispute["trade"] == trade["id"] and dispute["status"] == "resolved":
                        self.pay_decided(expected, trade, dispute)
        for record in self.records("adjustment"):
            if record["status"] == "settled":
                expected[record["buyer"]] -= record["amount"]
                fees = record["fee"] + record["penalty"]
                expected[record["seller"]] += record["amount"] - record["grid_amount"] - fees
                expected["grid"] += record["grid_amount"]
                expected["balancing"] += fees
        found = {who: sum(parts) for who, parts in self.accounts().items()}
        assert {who: amount for who, amount in expected.items() if amount} == {w: a for w, a in found.items() if a}
        assert self.market.get("credit/total") == {"total": self.market.money()}

    def pay(self, expected: Counter[str], trade: dict[str, Any], paid: int, penalty: int) -> None:
        """Both fees in proportion, rounded down: the grid's of the whole, the market's of what that leaves."""
        grid = trade["grid_amount"] * paid // max(1, trade["amount"])
        fee = trade["fee"] * (paid - grid) // max(1, trade["amount"] - trade["grid_amount"])
        expected[trade["buyer"]] -= paid
        expected[trade["seller"]] += paid - grid - fee - penalty
        expected["grid"] += grid
        expected["balancing"] += fee + penalty

    def pay_decided(self, expected: Counter[str], trade: dict[str, Any], dispute: dict[str, Any]) -> None:
        """A decision before the other party signed the rest."""
        if dispute["side"] == "seller":
            self.pay(expected, trade, 0, dispute["paid"])
            return
        before = trade["amount"] - dispute["disputed"]
        self.pay(expected, trade, before + dispute["paid"], 0)
        undo: Counter[str] = Counter()
        self.pay(undo, trade, before, 0)
        expected.subtract(undo)

    @invariant()
    def holds_are_open_obligations(self) -> None:
        held: Counter[str] = Counter()
        for listing in self.market.records("market/listing/"):
            if listing["status"] == "open":
                held[listing["seller"]] -= -listing["remaining_wh"] * listing["imbalance_price"] // 1_000
        for trade in self.records("trade"):
            if trade["status"] == "matched":
                held[trade["buyer"]] += trade["energy_wh"] * trade["price"] // 1_000
                held[trade["seller"]] += trade["energy_wh"] * trade["imbalance_price"] // 1_000
            elif trade["status"] in ("proposed", "overdue"):
                whole = trade["energy_wh"] * trade["price"] // 1_000 if trade.get("unread") else trade["amount"]
                held[trade["buyer"]] += whole - trade["buyer_disputed"]
                held[trade["seller"]] += trade["penalty"] - trade["seller_disputed"]
        for dispute in self.records("dispute"):
            if dispute["status"] == "open":
                held[dispute[dispute["side"]]] += dispute["disputed"]
        for record in self.records("adjustment"):
            if record["status"] in ("proposed", "overdue"):
                brought = record["amount"] - record["grid_amount"] - record["fee"] - record["penalty"]
                held[record["seller"]] += record["seller_confirmed"] * max(0, -brought)
                known = record["buyer_confirmed"] or record.get("covered", False)
                held[record["buyer"]] += known * max(0, record["amount"])
        for who, (available, part) in self.accounts().items():
            assert (part, available >= 0) == (held[who], True), who

    @invariant()
    def deliveries_and_certificates_stay_within_the_meter(self) -> None:
        delivered: Counter[str] = Counter()
        for key, _ in self.market.chain.state.scan("settlement/share/", "", 10_000):
            delivered[key.split("/", 2)[2].rpartition("/")[0]] += self.market.get(key)[1] or 0
        certified: Counter[str] = Counter()
        for record in self.market.records("origin/certificate/"):
            certified[f"{record['meter']}/{record['interval']:010d}"] += record["energy_wh"]
        for place in {*delivered, *certified}:
            reading = self.market.get(f"settlement/reading/{place}")
            usable = reading is not None and reading["quality"] in ("good", "estimated")
            export_wh = reading["export_wh"] if usable else 0
            assert delivered[place] <= export_wh
            assert certified[place] <= export_wh

    @invariant()
    def nothing_is_settled_without_both(self) -> None:
        for record in [*self.records("trade"), *self.records("adjustment")]:
            if record["status"] in ("settled", "disputed"):
                signed = [record["seller_confirmed"], record["buyer_confirmed"], record.get("arbiter") == "ada"]
                assert sum(signed) >= 2

    def teardown(self) -> None:
        """In the end everything can be decided, settled and adjusted, and nothing stays held."""
        if not hasattr(self, "market"):
            return
        market = self.market
        market.to_end()
        market.chain.advance(10 * 86_400_000)
        for dispute in self.records("dispute"):
            if dispute["status"] == "open":
                signers = dict.fromkeys(["ada", dispute["seller"], dispute["buyer"], "ann"])
                args = {"dispute_id": dispute["id"], "paid": dispute["disputed"]}
                assert market.ok("settlement", "resolve", args, *signers)
        for trade in self.records("trade"):
            market.ok("settlement", "confirm", {"trade": trade["id"]}, trade["seller"], trade["buyer"], "ann")
        for who in (*PARTIES, "balancing", "grid"):
            market.ok("credit", "deposit", {"account": who, "amount": DEPOSIT}, "op1", "op2")
            self.entered[who] += DEPOSIT
        for record in self.records("adjustment"):
            if record["status"] != "void":
                args = {"adjustments": [record["id"]]}
                market.ok("settlement", "confirm_adjustments", args, record["seller"], record["buyer"], "ann")
        assert {trade["status"] for trade in self.records("trade")} <= {"settled"}
        assert {record["status"] for record in self.records("adjustment")} <= {"settled", "void"}
        self.money_is_where_the_records_say()
        assert {held for _, held in self.accounts().values()} == {0}

    # --------------------------------------------------------------------------------------------- questions

    def records(self, kind: str) -> list[dict[str, Any]]:
        return list(self.market.records(f"settlement/{kind}/"))

    def open(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records(kind) if record["status"] in (*OPEN, "open")]

    def chosen(self, kind: str, pick: int) -> dict[str, Any]:
        """One of those that are open."""
        records = self.open(kind)
        return records[pick % len(records)]

    def accounts(self) -> dict[str, tuple[int, int]]:
        return {
            record["signer"]: (record["available"], record["held"]) for record in self.market.records("credit/account/")
        }


TestSettlement = Settlement.TestCase
TestSettlement.settings = settings(
    max_examples=100, stateful_step_count=40, derandomize=True, deadline=None, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
