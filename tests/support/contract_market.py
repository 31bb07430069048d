"""A market in memory for tests: the shipped contracts, people with roles, meters and money."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from contracts.catalog import shipped_sources
from contracts.machine import PythonMachine
from contracts.parameters import MARKET_PARAMETERS
from contracts.testing import Chain
from ledger.execution import CallResult, Machine
from ledger.values import Value

INTERVAL_MS = 900_000
START_INTERVAL = 2_000_000
NOW_MS = START_INTERVAL * INTERVAL_MS
MACHINE = PythonMachine()
"""One for all markets of a test run, which then compile the shipped contracts once."""
PRICE = 200_000
CAPACITY_W = 400_000
DEPOSIT = 10**9

Run = Callable[..., CallResult]
"""What the fixture ``run`` gives: statements in, outcome out."""


class Market:
    """The shipped contracts with two sellers, two buyers, a gateway and an operator of each of two organisations.

    Each call is one block.
    """

    def __init__(self, parameters: Mapping[str, int] | None = None, machine: Machine = MACHINE) -> None:
        self.chain = Chain(shipped_sources(), {**MARKET_PARAMETERS, **(parameters or {})}, NOW_MS, machine=machine)
        for operator in ("op1", "op2"):
            self.chain.user(operator, "operator", f"organisation of {operator}")
        names: list[Value] = ["organisation of op1", "organisation of op2"]
        self.chain.put("governance/organisations", {"names": names, "threshold": 2})
        self.chain.user("gate", "gateway")
        for name, role in (("sol", "seller"), ("sun", "prosumer"), ("bea", "buyer"), ("bob", "buyer")):
            self.chain.user(name, role)
            self.ok("credit", "deposit", {"account": name, "amount": DEPOSIT}, "op1", "op2")
            self.bind(f"m-{name}", name)
        self.interval = START_INTERVAL + 4

    def bind(self, meter: str, owner: str, capacity_w: int = CAPACITY_W, zone: str = "z") -> None:
        terms = {"meter": meter, "owner": owner, "zone": zone, "capacity_w": capacity_w, "gateway": "gate"}
        self.ok("registry", "bind_meter", terms, "op1")

    def call(self, contract: str, function: str, args: Mapping[str, Any], *signers: str) -> CallResult:
        return self.chain.call(contract, function, args, signers)

    def ok(self, contract: str, function: str, args: Mapping[str, Any], *signers: str) -> Any:
        result = self.call(contract, function, args, *signers)
        assert result.code == "OK", result
        return result.value

    def code(self, contract: str, function: str, args: Mapping[str, Any], *signers: str) -> str:
        """The code of a call that fails, having checked that it changed nothing."""
        before = dict(self.chain.state.entries)
        result = self.call(contract, function, args, *signers)
        if result.code != "OK":
            assert self.chain.state.entries == before
        return result.code

    # ----------------------------------------------------------------------------------------- shorthands

    def listing_args(self, who: str = "sol", **changed: Any) -> dict[str, Any]:
        terms = {"meter": f"m-{who}", "interval": self.interval, "energy_wh": 1_000, "price": PRICE, "lot_wh": 100}
        return {**terms, **changed}

    def order_args(self, side: str, who: str, energy_wh: int, price: int, execution: str = "limit") -> dict[str, Any]:
        return {
            "side": side, "meter": f"m-{who}", "interval": self.interval, "energy_wh": energy_wh, "price": price,
            "execution": execution,
        }  # fmt: skip

    def offer(self, who: str = "sol", **changed: Any) -> str:
        return str(self.ok("market", "post_listing", self.listing_args(who, **changed), who))

    def take(self, listing: str, energy_wh: int, who: str = "bea") -> str:
        return str(self.ok("market", "take_listing", self.taking_args(listing, energy_wh, who), *self.signers(who)))

    def signers(self, who: str) -> list[str]:
        """All who sign for an account, its owner first."""
        policy = self.get(f"credit/policy/{who}") or {"keys": []}
        return list(dict.fromkeys([who, *policy["keys"]]))

    def taking_args(self, listing: str, energy_wh: int, who: str = "bea", meter: str = "") -> dict[str, Any]:
        """For no more than it costs as things stand."""
        meter = meter or f"m-{who}"
        price_max = self.price_at(listing, meter)
        return {"listing": listing, "meter": meter, "energy_wh": energy_wh, "price_max": price_max}

    def price_at(self, listing: str, meter: str) -> int:
        """What a listing costs at a meter, grid fee included."""
        record = self.get(f"market/listing/{listing}")
        return int(record["price"]) + self.fee_between(record["zone"], self.zone_of(meter))

    def accepting_args(self, offer: str, who: str, meter: str = "") -> dict[str, Any]:
        """For no worse a price than it is as things stand."""
        record, meter = self.get(f"offers/offer/{offer}"), meter or f"m-{who}"
        here = self.zone_of(meter)
        if record["side"] == "ask":
            limit = record["price"] + self.fee_between(record["zone"], here)
        else:
            limit = record["price"] - self.fee_between(here, record["zone"])
        return {"offer": offer, "meter": meter, "price_limit": limit}

    def fee_between(self, from_zone: str, to_zone: str) -> int:
        args = {"from_zone": from_zone, "to_zone": to_zone, "interval": self.interval}
        return int(self.chain.view("market", "grid_fee", args).value)

    def zone_of(self, meter: str) -> str:
        return str(self.get(f"registry/meter/{meter}")["zone"])

    def order(
        self, side: str, who: str, energy_wh: int, price: int, execution: str = "limit"
    ) -> tuple[str, list[dict[str, Any]]]:
        """Place an order; its id and the trades that it made, as stored."""
        made = self.ok("market", "place_order", self.order_args(side, who, energy_wh, price, execution), who)
        return made["order"], [self.trade(trade) for trade in made["trades"]]

    def reading(self, who: str = "sol", export_wh: int = 0, sequence: int = 1, **changed: Any) -> dict[str, Any]:
        terms = {
            "meter": f"m-{who}", "interval": self.interval, "epoch": 1, "sequence": sequence, "import_wh": 0,
            "export_wh": export_wh, "quality": "good",
        }  # fmt: skip
        return {**terms, **changed}

    def read(self, who: str = "sol", export_wh: int = 0, sequence: int = 1, **changed: Any) -> int:
        reading = self.reading(who, export_wh, sequence, **changed)
        return int(self.ok("settlement", "submit_readings", {"readings": [reading]}, "gate"))

    def to(self, at_ms: int) -> list[str]:
        """Let time pass until ``at_ms``; the codes of the deadlines that ran."""
        return [code for code, _ in self.chain.advance(max(0, at_ms - self.chain.time_ms))]

    def to_gate(self) -> list[str]:
        return self.to(self.interval * INTERVAL_MS - MARKET_PARAMETERS["gate_closure_s"] * 1_000)

    def to_end(self) -> list[str]:
        return self.to((self.interval + 1) * INTERVAL_MS)

    # ------------------------------------------------------------------------------------------- questions

    def account(self, who: str) -> tuple[int, int]:
        """What is available and held."""
        record = self.chain.get(f"credit/account/{who}") or {"available": 0, "held": 0}
        return record["available"], record["held"]

    def held(self, who: str) -> int:
        return self.account(who)[1]

    def trade(self, trade: str) -> dict[str, Any]:
        return dict(self.chain.get(f"settlement/trade/{trade}"))

    def get(self, key: str) -> Any:
        return self.chain.get(key)

    def records(self, prefix: str) -> list[Any]:
        return [self.chain.get(key) for key, _ in self.chain.state.scan(prefix, "", 10_000)]

    def money(self) -> int:
        return sum(account["available"] + account["held"] for account in self.records("credit/account/"))
