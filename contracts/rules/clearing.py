"""How a clearing walks its books: a step looks at all that stands next, and from what it finds there follows what the
auction says. Each looks at the rows that the step itself read, in the books as they were before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import takewhile

from contracts.rules.changes import Changes
from contracts.rules.groups import AUCTION_SHARES, AUCTIONED, COUNTS, METERS, RUNS, SIDES, TRADES, UNREVEALED
from contracts.rules.terms import PRICE_MAX, TRADES_MAX, may_use
from ledger.authentication import authenticate
from ledger.execution import DEADLINE_PREFIX, Call
from ledger.values import Value, decode_value

OWN = "auction/"
BOTH = ("bid", "ask")
ROLES = {"bid": ("buyer", "prosumer"), "ask": ("seller", "prosumer")}
SCREENED_MAX, PAGE_ROWS = 500, 250
"""Rows that a step screens or rations, and a page of those that it matches."""
ID_CHARS = 18
UNMATCHED: dict[str, Value] = {"after": "", "left_wh": 0, "price": 0, "matched": 0, "level_wh": 0}
UNCOUNTED: dict[str, Value] = {**UNMATCHED, "meter": "", "trades": 0}
UNFILLED: dict[str, Value] = {"after": "", "given_wh": 0, "order": "", "share_wh": 0, "number": 0, "again": False}
NOTHING = dict.fromkeys(
    ("price", "seller_price", "low", "high", "volume_wh", "welfare", "traded_wh", "gained"), 0
)  # fmt: skip
"""Of an auction without trades."""
MOVES = {"screen": ("side", "after"), "level": ("after",), "share": ("after",), "rest": ("side",)}
"""By stage, what of its place a step within it changes."""
PASSING = frozenset({
    "side", "after", "steps", "bid", "ask", "level_wh", "given_wh", "extra_wh", "traded_wh", "gained",
})  # fmt: skip
"""What an auction forgets in the end."""

PAIRED = ("buyer", "buyer_meter", "seller", "meter", "energy_wh", "imbalance_price")
"""What two orders make of a trade."""

Row = tuple[str, Value]


def is_walked(call: Call, changes: Changes, old: Value, new: Value) -> bool:
    """Whether a step goes as far as it says, and says what it found; a stage begins at the best bid. One that got
    nowhere is none: as long as steps are made, nobody's orders come back."""
    if new["stage"] == old["stage"]:
        if new == {**old, "steps": new["steps"]} and not {*changes.groups} - {RUNS, DEADLINE_PREFIX}:
            return False
        kept = [name for name in ("side", "after") if name not in MOVES.get(old["stage"], ())]
        if any(new.get(name) != old.get(name) for name in kept):
            return False
    elif new["stage"] != "done" and [new["side"], new["after"]] != ["bid", ""]:
        return False
    return WALKS[old["stage"]](call, changes, old, new)


def _place(run: Value) -> str:
    return f"{run['product']}/{run['interval']:010d}"


def _book(run: Value, side: str) -> str:
    """As the contract calls its keys."""
    return f"{side}/{_place(run)}/"


def _stands(changes: Changes, prefix: str) -> bool:
    """Whether anything is left below a prefix."""
    written = {key for key in changes.raw if key.startswith(prefix)}
    left = any(changes.raw[key] is not None for key in written)
    return left or any(key not in written for key, _ in changes.base.scan(prefix, "", len(written) + 1))


def _page(changes: Changes, book: str, after: str, limit: int = PAGE_ROWS) -> list[Row]:
    """What stood in a book behind a row."""
    rows = changes.base.scan(OWN + book, OWN + after if after else "", limit)
    return [(key[len(OWN) :], decode_value(entry.value)) for key, entry in rows]


def _rows(changes: Changes, book: str, after: str) -> Iterator[Row]:
    while rows := _page(changes, book, after):
        after = rows[-1][0]
        yield from rows


def _price_at(key: str, side: str) -> int:
    rank = int(key[-ID_CHARS - 11 : -ID_CHARS - 1])
    return PRICE_MAX - rank if side == "bid" else rank


# -------------------------------------------------------------------------------------------------- screening


def _forfeits(call: Call, changes: Changes, old: Value, new: Value) -> bool:
    """All that nobody revealed."""
    return new["stage"] == "forfeit" or not _stands(changes, f"{UNREVEALED}{_place(old)}/")


def _screens(call: Call, changes: Changes, old: Value, new: Value) -> bool:
    """Each order that it passes may stand, or is taken out."""
    side = old["side"]
    rows = _page(changes, _book(old, side), old["after"], SCREENED_MAX)
    if [new["stage"], new["side"]] == ["screen", side]:
        passed = [key <= new["after"] for key, _ in rows]
        rows = rows[: sum(passed)]
        if new["after"] != (rows[-1][0] if rows else old["after"]):
            return False
    elif len(rows) == SCREENED_MAX or not _follows_screening(old, new):
        return False
    left = [row for key, row in rows if changes.raw.get(OWN + key, b"") is not None]
    owners, bound = {row[1] for row in left}, {(row[2], row[1]) for row in left}
    return all(authenticate(changes.base, each, ROLES[side], call.block_time_ms) is None for each in owners) and all(
        _may_trade(changes, meter, owner, side, old["interval"]) for meter, owner in bound
    )


def _follows_screening(old: Value, new: Value) -> bool:
    if old["side"] == "bid":
        return bool([new["stage"], new["side"], new["after"]] == ["screen", "ask", ""])
    if old["mechanism"] != "auction":
        return bool(new["stage"] == "mechanism")
    return bool([new["stage"], new["bid"], new["ask"]] == ["match", UNMATCHED, UNCOUNTED])


def _may_trade(changes: Changes, meter: str, owner: str, side: str, interval: int) -> bool:
    if not may_use(changes.current(METERS + meter), owner):
        return False
    count = changes.current(f"{COUNTS}{meter}/{interval:010d}") if side == "ask" else None
    return count is None or bool(count < TRADES_MAX)


# --------------------------------------------------------------------------------------------------- matching


def _matches(call: Call, changes: Changes, old: Value, new: Value) -> bool:
    """Down the bids and up the asks as far as it says, and no further than they meet. What a meter could sell only by
    more trades than it may make is passed over."""
    fee, volume_wh, welfare = old["grid_fee"], old["volume_wh"], old["welfare"]
    bid, ask = dict(old["bid"]), dict(old["ask"])
    bids, asks = (_rows(changes, _book(old, side), old[side]["after"]) for side in BOTH)
    goes_on, counts = new["stage"] == "match", dict[str, int]()
    while not goes_on or [bid, ask] != [new["bid"], new["ask"]]:
        _advance(bid, bids, "bid")
        if _advance(ask, asks, "ask"):
            ask["trades"] = _counted(changes, old, ask["meter"], counts)
        if ask["left_wh"] and ask["trades"] >= TRADES_MAX:
            ask["left_wh"] = 0
            continue
        energy_wh = min(bid["left_wh"], ask["left_wh"])
        if energy_wh == 0 or bid["price"] < ask["price"] + fee:
            concluded = not goes_on and bool(new == _concluded(old, bid, ask, volume_wh, welfare))
            return concluded and _are_counted(changes, old, counts)
        ask["trades"] += 1
        counts[ask["meter"]] = ask["trades"]
        for state in (bid, ask):
            if state["price"] != state["matched"]:
                state["matched"], state["level_wh"] = state["price"], volume_wh
            state["left_wh"] -= energy_wh
        volume_wh += energy_wh
        welfare += energy_wh * (bid["price"] - ask["price"] - fee)
    agree = [new["volume_wh"], new["welfare"]] == [volume_wh, welfare]
    return bool(agree) and _are_counted(changes, old, counts)


def _advance(state: dict[str, Value], rows: Iterator[Row], side: str) -> bool:
    """Whether the next order is the foremost now."""
    if state["left_wh"] or (row := next(rows, None)) is None:
        return False
    state["after"], state["left_wh"], state["price"] = row[0], row[1][0], _price_at(row[0], side)
    if side == "ask":
        state["meter"] = row[1][2]
    return True


def _counted(changes: Changes, run: Value, meter: str, counts: dict[str, int]) -> int:
    """How many trades of the interval a meter has made, and will have made by the walk so far."""
    if meter in counts:
        return counts[meter]
    known = changes.old(_counted_below(run) + meter)
    return int(known or changes.old(f"{COUNTS}{meter}/{run['interval']:010d}") or 0)


def _counted_below(run: Value) -> str:
    return f"{SIDES}{_place(run)}/trades/"


def _are_counted(changes: Changes, run: Value, counts: dict[str, int]) -> bool:
    expected = {_counted_below(run) + meter: count for meter, count in counts.items()}
    return {key: changes.new(key) for key in changes.below(SIDES)} == expected


def _concluded(old: Value, bid: Value, ask: Value, volume_wh: int, welfare: int) -> Value:
    """Volume, the equilibrium's bounds and its price, and which side is rationed at its last price."""
    run = {**old, "side": "bid", "after": "", "steps": old["steps"] + 1, "bid": bid, "ask": ask}
    if volume_wh == 0:
        return {**run, **NOTHING, "stage": "rest"}
    fee, low, high = old["grid_fee"], ask["matched"] + old["grid_fee"], bid["matched"]
    for side, state in (("bid", bid), ("ask", ask)):
        if state["left_wh"] and state["price"] == state["matched"]:
            run["rationed"] = side
    low = max(low, bid["price"]) if bid["left_wh"] else low
    high = min(high, ask["price"] + fee) if ask["left_wh"] else high
    price = (low + high) // 2
    run |= {"volume_wh": volume_wh, "welfare": welfare // 1000, "low": low, "high": high}
    run |= {"price": price, "seller_price": price - fee, "traded_wh": 0, "gained": 0}
    if old["ties"] == "pro rata" and run["rationed"]:
        return {**run, "stage": "level", "level_wh": 0, "given_wh": 0}
    return {**run, **_begun(run)}


def _begun(run: Value) -> dict[str, Value]:
    """As trades begin to be made."""
    kept = {side: {name: run[side][name] for name in ("matched", "level_wh")} for side in BOTH}
    return {"stage": "fill", **{side: {**UNFILLED, **kept[side]} for side in BOTH}}


def _asks(call: Call, changes: Changes, old: Value, new: Value) -> bool:
    """What another mechanism answers is its own, within the orders that it serves; whether it fails, too."""
    if new["stage"] == "rest":
        return bool(new["failed"] == "MECHANISM_FAILED")
    fresh = {**UNFILLED, "matched": 0, "level_wh": 0}
    price, seller_price, volume_wh = new["price"], new["seller_price"], new["volume_wh"]
    found = {"price": price, "low": price, "high": price, "seller_price": seller_price, "volume_wh": volume_wh}
    begun = {"stage": "fill", "side": "bid", "after": "", "steps": old["steps"] + 1, "bid": fresh, "ask": fresh}
    if new != {**old, **found, **begun, "traded_wh": 0, "gained": 0}:
        return False
    if {*changes.new(AUCTION_SHARES + _place(new))} != {*BOTH}:
        return False
    return bool(0 <= seller_price <= price - old["grid_fee"]) and all(
        _are_shares_sound(changes, new, side) for side in BOTH
    )


def _are_shares_sound(changes: Changes, run: Value, side: str) -> bool:
    """Of orders that stand, each once, within its energy and price, and in all the volume."""
    shares = changes.new(AUCTION_SHARES + _place(run))[side]
    for name, share_wh, *_ in shares:
        order = changes.old(AUCTIONED + name)
        if [order["status"], order["side"], _place(order)] != ["open", side, _place(run)]:
            return False
        within = order["price"] <= run["seller_price"] if side == "ask" else run["price"] <= order["price"]
        if not 0 <= share_wh <= (order["remaining_wh"] if within else 0):
            return False
    named = {share[0] for share in shares}
    return len(named) == len(shares) and bool(sum(share[1] for share in shares) == run["volume_wh"])


# ------------------------------------------------------------------------------------------------- rationing


def _rations(call: Call, changes: Changes, old: Value, new: Value) -> bool:
    """Pro rata: what the marginal price's orders have in all, then what flooring their parts leaves over."""
    rows = _page(changes, _last_price(old), old["after"], SCREENED_MAX)
    energies_wh = [row[0] for _, row in rows]
    wanted_wh = _wanted_at_level(old)
    run = {**old, "steps": old["steps"] + 1}
    if old["stage"] == "level":
        run["level_wh"] += sum(energies_wh)
    else:
        run["given_wh"] += sum(_part_of(old, energy_wh) for energy_wh in energies_wh)
    if len(rows) == SCREENED_MAX:
        return bool(new == {**run, "after": rows[-1][0]})
    run |= {"side": "bid", "after": ""}
    if old["stage"] == "level":
        return bool(new == {**run, "stage": "share"})
    return bool(new == {**run, **_begun(run), "extra_wh": wanted_wh - run["given_wh"]})


def _last_price(run: Value) -> str:
    """Below what the rationed side's orders at the last price stand."""
    side, price = run["rationed"], run[run["rationed"]]["matched"]
    return f"{_book(run, side)}{PRICE_MAX - price if side == 'bid' else price:010d}/"


def _part_of(run: Value, energy_wh: int) -> int:
    """What of the volume falls to so much at the marginal price, in whole multiples of the least energy."""
    share_wh = energy_wh * _wanted_at_level(run) // run["level_wh"]
    return int(share_wh - share_wh % max(1, run.get("order_wh_min", 1)))


def _wanted_at_level(run: Value) -> int:
    """How much of the volume falls to the orders of the rationed side's last price."""
    return int(run["volume_wh"] - run[run["rationed"]]["level_wh"])


# --------------------------------------------------------------------------------------------------- filling


def _fills(call: Call, changes: Changes, old: Value, new: Value) -> bool:
    """The best orders of both sides first, each what falls to it, until a side has no more."""
    sides = [_Side(changes, old, side) for side in BOTH]
    turns = new["bid"]["again"] and not old["bid"]["again"]
    if turns and not _is_begun_again(old, new):
        return False
    if not all(side.reaches(None if turns else new) for side in sides):
        return False
    served = {order for side in sides for order in side.served}
    if not served >= {key[len(AUCTIONED) :] for key in changes.below(AUCTIONED)}:
        return False
    made = [changes.new(key) for key in sorted(changes.below(TRADES)) if changes.old(key) is None]
    if [[trade[name] for name in PAIRED] for trade in made] != _paired(changes, *(side.served for side in sides)):
        return False
    if not turns and new.get("extra_wh") != (min(side.extra_wh for side in sides) if "extra_wh" in old else None):
        return False
    traded_wh, gained = _traded(changes, old["grid_fee"])
    if [new["traded_wh"], new["gained"]] != [old["traded_wh"] + traded_wh, old["gained"] + gained]:
        return False
    if new["stage"] == "fill" and not turns:
        return True
    return (turns or not _goes_again(old)) and any(side.has_no_more() for side in sides)


def _goes_again(run: Value) -> bool:
    """Orders that go pro rata meet others than those that the walk counted trades of: what is left on both sides at
    the price is filled by time, once."""
    return bool(run["ties"] == "pro rata" and run["rationed"] and not run["bid"]["again"])


def _is_begun_again(old: Value, new: Value) -> bool:
    begun = {side: {**state, "again": True} for side in BOTH for state in [_begun(old)[side]]}
    return _goes_again(old) and bool(new == {**new, **begun, "stage": "fill", "extra_wh": 0})


def _paired(changes: Changes, bids: list[str], asks: list[str]) -> list[list[Value]]:
    """The trades between two queues of orders, each of which loses so much here: always the first with the first."""
    queues = [[(changes.new(key), lost_wh) for key, lost_wh in _losses(changes, names)] for names in (bids, asks)]
    found: list[list[Value]] = []
    while all(queues):
        (bid, bid_wh), (ask, ask_wh) = queues[0].pop(0), queues[1].pop(0)
        energy_wh = min(bid_wh, ask_wh)
        found.append([bid["owner"], bid["meter"], ask["owner"], ask["meter"], energy_wh, ask["collateral_price"]])
        if bid_wh > energy_wh:
            queues[0].insert(0, (bid, bid_wh - energy_wh))
        if ask_wh > energy_wh:
            queues[1].insert(0, (ask, ask_wh - energy_wh))
    return found


def _losses(changes: Changes, names: list[str]) -> Iterator[tuple[str, int]]:
    for key in (AUCTIONED + name for name in names):
        if lost_wh := _lost_wh(changes, key):
            yield key, lost_wh


def _traded(changes: Changes, fee: int) -> tuple[int, int]:
    """What the bids get, and in thousandths what both sides gain by it."""
    traded_wh = gained = 0
    for key in changes.below(AUCTIONED):
        order, lost_wh = changes.new(key), _lost_wh(changes, key)
        if order["side"] == "bid":
            traded_wh += lost_wh
            gained += lost_wh * order["price"]
        else:
            gained -= lost_wh * (order["price"] + fee)
    return traded_wh, gained


def _lost_wh(changes: Changes, key: str) -> int:
    return int(changes.old(key)["remaining_wh"] - changes.new(key)["remaining_wh"]) if key in changes.raw else 0


class _Side:
    """A side of the book as its shares are handed out, order by order."""

    def __init__(self, changes: Changes, run: Value, side: str) -> None:
        self._changes, self._run, self._side = changes, run, side
        self._listed = run["mechanism"] != "auction"
        self.state: dict[str, Value] = dict(run[side])
        self.extra_wh = run.get("extra_wh", 0)
        self.served: list[str] = []
        self._full = set[str]()
        self._is_in_turn = True

    def reaches(self, new: Value | None) -> bool:
        """Whether it is where the step leaves it, each order with its share, the last one perhaps with a part of it;
        without an aim it goes as far as orders lost all of their shares."""
        state, aim = self.state, None if new is None else new[self._side]
        self._serve()
        found = self._listed_up_to(aim) if self._listed else self._found_up_to(None if aim is None else aim["after"])
        while not state["share_wh"] and (share := next(found, None)) is not None:
            state["order"], state["share_wh"] = share
            self._serve()
        return bool(self._is_in_turn and state["share_wh"] >= 0 and aim in (None, state))

    def _serve(self) -> None:
        """The foremost order loses of its share what it trades; what its meter can no longer sell is others' to, and it
        sells nothing more."""
        state = self.state
        if not state["share_wh"]:
            return
        key = AUCTIONED + state["order"]
        self.served.append(state["order"])
        if key not in self._changes.raw:
            return
        lost_wh, order = _lost_wh(self._changes, key), self._changes.new(key)
        state["share_wh"] -= lost_wh
        if order["status"] == "full":
            self._is_in_turn &= state["share_wh"] > 0
            state["given_wh"] -= state["share_wh"]
            state["share_wh"] = 0
            self._full.add(order["meter"])
        elif lost_wh and order["meter"] in self._full:
            self._is_in_turn = False

    def _shares(self) -> list[Value]:
        return list(self._changes.old(AUCTION_SHARES + _place(self._run))[self._side])

    def _listed_up_to(self, aim: Value) -> Iterator[tuple[str, int]]:
        """Those that a mechanism named."""
        for order, share_wh, *_ in self._shares()[self.state["number"] : aim["number"]]:
            self.state["number"] += 1
            if share_wh > 0:
                yield order, share_wh

    def _found_up_to(self, last: str | None) -> Iterator[tuple[str, int]]:
        """Up to a row, or to the end of what the side is to give."""
        rows = _rows(self._changes, _book(self._run, self._side), self.state["after"])
        for key, row in takewhile(lambda row: last is None or row[0] <= last, rows):
            if not self._is_wanted(key):
                return
            self.state["after"] = key
            share_wh = self._share_of(key, row[0])
            self.state["given_wh"] += share_wh
            if share_wh > 0:
                yield key[-ID_CHARS:], share_wh

    def _is_wanted(self, key: str) -> bool:
        run, price = self._run, _price_at(key, self._side)
        if self._side == "ask" and price > run["seller_price"]:
            return False
        if self.state["again"]:
            return bool(self._side == "ask" or price >= run["price"])
        return bool(self.state["given_wh"] < run["volume_wh"])

    def _share_of(self, key: str, energy_wh: int) -> int:
        run, side = self._run, self._side
        if self.state["again"]:
            return int(self._changes.old(AUCTIONED + key[-ID_CHARS:])["remaining_wh"])
        at_margin = run["rationed"] == side and _price_at(key, side) == self.state["matched"]
        if not (at_margin and run["ties"] == "pro rata"):
            return int(min(energy_wh, run["volume_wh"] - self.state["given_wh"]))
        share_wh = _part_of(run, energy_wh)
        more_wh = min(self.extra_wh, energy_wh - share_wh)
        self.extra_wh -= more_wh
        return int(share_wh + more_wh)

    def has_no_more(self) -> bool:
        if self.state["share_wh"]:
            return False
        if self._listed:
            return not any(share[1] > 0 for share in self._shares()[self.state["number"] :])
        left = _page(self._changes, _book(self._run, self._side), self.state["after"], 1)
        return not left or not self._is_wanted(left[0][0])


# --------------------------------------------------------------------------------------------------- the end


def _rests(call: Call, changes: Changes, old: Value, new: Value) -> bool:
    """A side is left once nothing stands there any more: bids, asks, then who stood where."""
    side = old["side"]
    if [new["stage"], new.get("side")] == ["rest", side]:
        return True
    if _stands(changes, OWN + _book(old, side)):
        return False
    if side in BOTH:
        return bool([new["stage"], new["side"]] == ["rest", "ask" if side == "bid" else "side"])
    kept = {name: value for name, value in old.items() if name not in PASSING}
    return bool(new == {**kept, "stage": "done"}) and changes.current(AUCTION_SHARES + _place(old)) is None


WALKS: dict[str, Callable[[Call, Changes, Value, Value], bool]] = {
    "forfeit": _forfeits,
    "screen": _screens,
    "match": _matches,
    "mechanism": _asks,
    "level": _rations,
    "share": _rations,
    "fill": _fills,
    "rest": _rests,
}
