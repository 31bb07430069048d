"""A market day made from a seed: thousands of transactions of all kinds, executed in blocks; what it comes to.

`python -m market_day 1000`, with tests/support on PYTHONPATH, prints counts, gas, roots and one digest over every
result and root as JSON. It runs on any supported Python, with our packages or without (``--bare``). After a change
that is meant to change results: `python -m market_day --write` records tests/data/market_day_golden.json anew.
Nothing random comes from the interpreter: draws are hashes of the seed and a counter.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    import bare

    bare.prepare(always="--bare" in sys.argv)

import msgspec
from draws import Draws

from contracts.catalog import shipped_sources
from contracts.machine import PythonMachine
from contracts.parameters import MARKET_PARAMETERS
from contracts.testing import Chain
from contracts.validation import MarketValidator
from ledger.blocks import Result
from ledger.envelope import Envelope, Payload
from ledger.execution import OK, BlockExecutor
from ledger.tree import root_of
from ledger.values import decode_value

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "market_day_golden.json"
QUICK, WHOLE = 1_000, 10_000
INTERVAL_MS = 900_000
START_INTERVAL = 2_000_000
DAY_MS = 86_400_000
BLOCK_TRANSACTIONS = 50
ROOT_EVERY_BLOCKS = 20
GAS_LIMIT = 2_000_000
ANY_PRICE = 1_000_000
"""More than anything costs: most takers know what they take."""
PARAMETERS = {**MARKET_PARAMETERS, "reveal_s": 600}
"""Sealed orders are revealed for longer than a block takes."""
KNOWN_MAX = 40
TRADES_KNOWN_MAX = 400
"""Of each kind, the newest ids that the day's people remember; trades until they are metered."""
SELLERS = tuple(f"seller{n}" for n in range(6))
BUYERS = tuple(f"buyer{n}" for n in range(6))
PROSUMERS = tuple(f"home{n}" for n in range(4))
PEOPLE = (*SELLERS, *BUYERS, *PROSUMERS)
OPERATORS = ("op1", "op2")
GATEWAY = "gate"
ZONES = ("north", "south", "hall")
"""The last one trades by auction."""
_pack = msgspec.msgpack.Encoder().encode


class Day:
    """The people of a market, what they do, and the ledger's executor under them."""

    def __init__(self, transactions: int, seed: int = 1) -> None:
        self._draws = Draws(seed)
        self._total = transactions
        blocks = -(-transactions // BLOCK_TRANSACTIONS)
        self._step_ms = min(DAY_MS // blocks, INTERVAL_MS)
        self._chain = Chain(shipped_sources(), PARAMETERS, START_INTERVAL * INTERVAL_MS)
        self._executor = BlockExecutor(PythonMachine(), MarketValidator())
        self._nonces: Counter[str] = Counter()
        self._sequences: Counter[str] = Counter()
        self._known: dict[str, list[str]] = {kind: [] for kind in ("listing", "order", "offer", "trade", "sealed")}
        self._sealed: dict[str, dict[str, Any]] = {}
        self._read_to = START_INTERVAL
        self._waiting: list[Payload] = []
        self.height, self.gas, self.count = 0, 0, 0
        self.codes: Counter[str] = Counter()
        self.functions: Counter[str] = Counter()
        self.roots: list[str] = []
        self.digest = sha256(b"market day").digest()
        self._settle_in()

    # ----------------------------------------------------------------------------------------- running

    def run(self) -> dict[str, Any]:
        while self.count < self._total:
            self._block()
        return {
            "transactions": self.count,
            "blocks": self.height,
            "gas": self.gas,
            "codes": dict(sorted(self.codes.items())),
            "functions": dict(sorted(self.functions.items())),
            "state_root": self._root(),
            "digest": self.digest.hex(),
        }

    def _block(self) -> None:
        chain = self._chain
        chain.time_ms += self._step_ms
        self.height += 1
        self._meter()
        wanted = min(BLOCK_TRANSACTIONS, self._total - self.count)
        payloads = [self._waiting.pop(0) if self._waiting else self._act() for _ in range(wanted)]
        envelopes = [self._envelope(payload) for payload in payloads]
        executed = self._executor.execute(chain.state, self.height, chain.time_ms, envelopes)
        chain.state.apply(executed.changes)
        for result in executed.results:
            self._take_in(result)
        done = len(executed.results) - executed.deadlines
        for payload, result in zip(payloads, executed.results[executed.deadlines :], strict=True):
            self._remember(payload, result)
        self.count += done
        if self.height % ROOT_EVERY_BLOCKS == 0:
            self.digest = sha256(self.digest + self._root().encode()).digest()

    def _take_in(self, result: Result) -> None:
        self.codes[result.code] += 1
        self.gas += result.gas_used
        self.digest = sha256(self.digest + _pack(result)).digest()

    def _root(self) -> str:
        return root_of((key, _pack(entry)) for key, entry in self._chain.state.entries.items()).hex()

    def _envelope(self, payload: Payload) -> Envelope:
        """Signatures are checked before execution, so there are none here."""
        self.functions[f"{payload.contract}.{payload.function}"] += 1
        tx_id = sha256(f"{payload.signers[0]}/{payload.nonce}".encode()).digest()
        return Envelope(b"", tx_id, tx_id, b"", payload, ())

    def _call(self, contract: str, function: str, args: dict[str, Any], *signers: str) -> Payload:
        self._nonces[signers[0]] += 1
        return Payload(
            "day", "main", signers, contract, function, args, self._nonces[signers[0]], self.height + 100, GAS_LIMIT
        )

    # ------------------------------------------------------------------------------------ who there is

    def _settle_in(self) -> None:
        """Register people, and have meters, money, fees and products set by transactions."""
        chain = self._chain
        for name, role in (
            *((name, "seller") for name in SELLERS),
            *((name, "buyer") for name in BUYERS),
            *((name, "prosumer") for name in PROSUMERS),
            *((name, "operator") for name in OPERATORS),
            (GATEWAY, "gateway"),
        ):
            chain.user(name, role, f"organisation of {name}")
        names: list[Any] = [f"organisation of {name}" for name in OPERATORS]
        chain.put("governance/organisations", {"names": names, "threshold": 2})
        for name in PEOPLE:
            terms = {"meter": meter_of(name), "owner": name, "zone": zone_of(name), "capacity_w": 400_000}
            self._waiting.append(self._call("registry", "bind_meter", {**terms, "gateway": GATEWAY}, OPERATORS[0]))
            self._waiting.append(self._call("credit", "deposit", {"account": name, "amount": 10**10}, *OPERATORS))
        product = {"name": "hall", "zones": ["hall"], "mechanism": "auction", "grid_fee": 0, "ties": "time"}
        self._waiting.append(self._call("governance", "set_product", product, *OPERATORS))
        fee = {"from_zone": "north", "to_zone": "south", "fee": 20_000, "from_ms": chain.time_ms + 2 * DAY_MS}
        self._waiting.append(self._call("governance", "set_grid_fee", fee, *OPERATORS))

    # ----------------------------------------------------------------------------------- what they do

    def _meter(self) -> None:
        """The gateway reports every interval that is over, most meters' export, and some twice."""
        over = self._chain.time_ms // INTERVAL_MS
        while self._read_to < over:
            readings = [self._reading(name, self._read_to) for name in (*SELLERS, *PROSUMERS) if self._draws.below(10)]
            if readings:
                self._waiting.append(self._call("settlement", "submit_readings", {"readings": readings}, GATEWAY))
            self._read_to += 1

    def _reading(self, name: str, interval: int) -> dict[str, Any]:
        self._sequences[name] += 1
        quality = "good" if self._draws.below(12) else "suspect"
        return {
            "meter": meter_of(name), "interval": interval, "epoch": 1, "sequence": self._sequences[name],
            "import_wh": self._draws.below(500), "export_wh": self._draws.below(40_000), "quality": quality,
        }  # fmt: skip

    def _act(self) -> Payload:
        """One thing that somebody does."""
        acts: tuple[tuple[int, Callable[[], Payload]], ...] = (
            (34, self._order), (8, self._amend), (6, self._cancel), (9, self._list), (13, self._take),
            (6, self._propose), (5, self._answer), (6, self._auction), (3, self._seal), (2, self._reveal),
            (6, self._confirm), (2, self._pay),
        )  # fmt: skip
        drawn = self._draws.below(sum(weight for weight, _ in acts))
        for weight, act in acts:
            drawn -= weight
            if drawn < 0:
                return act()
        raise AssertionError("the weights cover every draw")

    def _interval(self) -> int:
        return self._chain.time_ms // INTERVAL_MS + self._draws.between(1, 3)

    def _price(self) -> int:
        return 1_000 * self._draws.between(80, 320)

    def _terms(self, who: str) -> dict[str, Any]:
        energy_wh = 100 * self._draws.between(1, 60)
        return {"meter": meter_of(who), "interval": self._interval(), "energy_wh": energy_wh, "price": self._price()}

    def _side(self, hall: bool | None = None) -> tuple[str, str]:
        """A side, and somebody for it: of the hall or not, but now and then the wrong one, or anybody."""
        side = self._draws.one_of(("bid", "ask"))
        people = (*(BUYERS if side == "bid" else SELLERS), *PROSUMERS)
        fitting = tuple(name for name in people if hall is None or (zone_of(name) == "hall") == hall)
        return side, self._draws.one_of(fitting if self._draws.below(20) else people)

    def _order(self) -> Payload:
        side, who = self._side(hall=False)
        execution = self._draws.one_of(("limit", "limit", "limit", "limit", "ioc", "fok"))
        return self._call("market", "place_order", {**self._terms(who), "side": side, "execution": execution}, who)

    def _owned(self, kind: str) -> tuple[str, str]:
        """An id of a kind and its owner; now and then somebody else, or an id that is none."""
        known = self._known[kind]
        anybody = self._draws.one_of(PEOPLE)
        if not known or self._draws.below(15) == 0:
            return "000000000000-00000", anybody
        found, _, owner = self._draws.one_of(known).partition(" ")
        return found, owner if self._draws.below(10) else anybody

    def _amend(self) -> Payload:
        order, who = self._owned("order")
        energy_wh = 100 * self._draws.between(1, 60)
        return self._call(
            "market", "amend_order", {"order": order, "energy_wh": energy_wh, "price": self._price()}, who
        )

    def _cancel(self) -> Payload:
        if self._draws.below(2):
            order, who = self._owned("order")
            return self._call("market", "cancel_order", {"order": order}, who)
        listing, who = self._owned("listing")
        return self._call("market", "cancel_listing", {"listing": listing}, who)

    def _list(self) -> Payload:
        who = self._draws.one_of((*SELLERS, *PROSUMERS))
        return self._call("market", "post_listing", {**self._terms(who), "lot_wh": 100}, who)

    def _take(self) -> Payload:
        listing, _ = self._owned("listing")
        who = self._draws.one_of((*BUYERS, *PROSUMERS))
        energy_wh = 100 * self._draws.between(1, 20)
        price_max = ANY_PRICE if self._draws.below(10) else self._price()
        args = {"listing": listing, "meter": meter_of(who), "energy_wh": energy_wh, "price_max": price_max}
        return self._call("market", "take_listing", args, who)

    def _propose(self) -> Payload:
        side, who = self._side()
        to = self._draws.one_of(PEOPLE)
        return self._call("offers", "propose", {**self._terms(who), "to": to, "side": side}, who)

    def _answer(self) -> Payload:
        offer, to = self._owned("offer")
        offer, _, side = offer.partition("#")
        if self._draws.below(3):
            agreeable = ANY_PRICE if side == "ask" else 0
            price_limit = agreeable if self._draws.below(10) else self._price()
            args = {"offer": offer, "meter": meter_of(to), "price_limit": price_limit}
            return self._call("offers", "accept", args, to)
        return self._call("offers", "decline", {"offer": offer}, to)

    def _auction(self) -> Payload:
        side, who = self._side(hall=True)
        return self._call("auction", "place_order", {**self._terms(who), "side": side}, who)

    def _seal(self) -> Payload:
        side, who = self._side(hall=True)
        terms = self._terms(who)
        salt = sha256(f"salt {self.height} {self._draws.below(1 << 32)}".encode()).hexdigest()
        revealed = {"side": side, "energy_wh": terms["energy_wh"], "price": terms["price"], "salt": salt}
        said = (who, terms["meter"], terms["interval"], side, terms["energy_wh"], terms["price"], salt)
        commitment = sha256("/".join(map(str, said)).encode()).hexdigest()
        self._sealed[commitment] = revealed
        args = {"meter": terms["meter"], "interval": terms["interval"], "commitment": commitment}
        return self._call("auction", "seal_order", args, who)

    def _reveal(self) -> Payload:
        order, who = self._owned("sealed")
        order, _, commitment = order.partition("#")
        nothing = {"side": "bid", "energy_wh": 100, "price": 100_000, "salt": "00"}
        return self._call("auction", "reveal_order", {"order": order, **self._sealed.get(commitment, nothing)}, who)

    def _confirm(self) -> Payload:
        trade, who = self._owned("trade")
        seller, _, buyer = who.partition("+")
        return self._call("settlement", "confirm", {"trade": trade}, *dict.fromkeys((seller, buyer or seller)))

    def _pay(self) -> Payload:
        name = self._draws.one_of(PEOPLE)
        function = self._draws.one_of(("deposit", "withdraw"))
        signers = OPERATORS if self._draws.below(5) else OPERATORS[:1]
        return self._call("credit", function, {"account": name, "amount": self._draws.between(1, 10**7)}, *signers)

    # ------------------------------------------------------------------------------- what they remember

    def _remember(self, payload: Payload, result: Result) -> None:
        if result.code != OK:
            return
        value = decode_value(result.value)
        who = payload.signers[0]
        match payload.contract, payload.function:
            case ("market", "post_listing"):
                self._note("listing", value, who)
            case ("market", "place_order" | "amend_order"):
                self._note("order", value["order"], who)
                for trade in value["trades"]:
                    self._note_trade(trade)
            case ("market", "take_listing") | ("offers", "accept"):
                self._note_trade(value)
            case ("offers", "propose"):
                self._note("offer", f"{value}#{payload.args['side']}", payload.args["to"])
            case ("auction", "seal_order"):
                self._note("sealed", f"{value}#{payload.args['commitment']}", who)

    def _note_trade(self, trade: str) -> None:
        record = self._chain.get(f"settlement/trade/{trade}")
        self._note("trade", trade, f"{record['seller']}+{record['buyer']}")

    def _note(self, kind: str, found: str, owner: str) -> None:
        self._known[kind] = [*self._known[kind], f"{found} {owner}"][
            -(TRADES_KNOWN_MAX if kind == "trade" else KNOWN_MAX) :
        ]


def meter_of(name: str) -> str:
    return f"m-{name}"


def zone_of(name: str) -> str:
    return ZONES[PEOPLE.index(name) % len(ZONES)]


def main() -> None:
    if "--write" in sys.argv:
        found = {str(count): Day(count).run() for count in (QUICK, WHOLE)}
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return
    count = next(int(word) for word in sys.argv[1:] if word.isdigit())
    print(json.dumps(Day(count).run()))


if __name__ == "__main__":
    main()
