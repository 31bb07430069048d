"""Settlement: signed readings, delivered energy, and payment once seller and buyer have both signed (S5).

delivered = min(contracted, remaining metered), first trade first: trades of 5 and 4 Wh with 8 Wh injected deliver 5
and 3. The shortfall is charged to the seller at the imbalance price. States: matched -> proposed -> settled; a trade
that is not confirmed in time is overdue: it keeps its hold, the parties are notified, and it can still be confirmed.
No payment without both signatures. A meter without a usable reading at the metering deadline has delivered nothing.

Trade: `trade/<id>`. Reading: `reading/<meter>/<interval>`. `open/<meter>/<interval>/<trade>`: trades not yet metered.
"""

INTERVAL_MS = 900000
TRADES_MAX = 100
READINGS_MAX = 100
CONFIRMATIONS_MAX = 50
BALANCING = "balancing"
GRID = "grid"


@internal("market", "auction", "offers")
def open_trade(
    trade: str,
    interval: int,
    meter: str,
    buyer_meter: str,
    seller: str,
    buyer: str,
    energy_wh: int,
    price: int,
    grid_fee: int,
    imbalance_price: int,
    source: str,
):
    """A match; its money is held already. `price` is what the buyer pays, `grid_fee` the part of it that the grid gets.

    Errors: TOO_MANY_TRADES for one meter and interval, GRID_FEE_INVALID.
    """
    require(0 <= grid_fee and grid_fee <= price, "GRID_FEE_INVALID", "The grid fee is a part of the price.")
    place = meter + "/" + pad(interval, 10)
    count = get("count/" + place)
    if count is None:
        count = 0
        end_ms = (interval + 1) * INTERVAL_MS
        schedule(end_ms + parameter("metering_deadline_s") * 1000, "close_metering", [meter, interval])
    require(count < TRADES_MAX, "TOO_MANY_TRADES", "This meter's interval has too many trades.")
    put("count/" + place, count + 1)
    put("open/" + place + "/" + trade, energy_wh)
    put(
        "trade/" + trade,
        {
            "type": "trade",
            "id": trade,
            "interval": interval,
            "meter": meter,
            "buyer_meter": buyer_meter,
            "seller": seller,
            "buyer": buyer,
            "price": price,
            "grid_fee": grid_fee,
            "imbalance_price": imbalance_price,
            "energy_wh": energy_wh,
            "delivered_wh": 0,
            "amount": 0,
            "grid_amount": 0,
            "fee": 0,
            "penalty": 0,
            "source": source,
            "status": "matched",
            "seller_confirmed": False,
            "buyer_confirmed": False,
        },
    )


# ------------------------------------------------------------------------------------------------- metering


@export("gateway")
def submit_readings(readings: list):
    """Signed readings of meters bound to the calling gateway, each {"meter", "interval", "epoch", "sequence",
    "import_wh", "export_wh", "quality"}; returns how many were new.

    A reading that is held already with the same content counts as done. One that can't settle trades gives way to
    one that can. Errors: READING_INVALID, NOT_FOUND, NOT_YOUR_METER, INTERVAL_NOT_OVER, READING_CONFLICT,
    SEQUENCE_NOT_RISING, TOO_MANY.
    """
    require(len(readings) <= READINGS_MAX, "TOO_MANY", "At most 100 readings at once.")
    fresh = 0
    for reading in readings:
        if take_reading(reading):
            fresh += 1
    return fresh


def take_reading(reading):
    check_reading(reading)
    meter = reading["meter"]
    interval = reading["interval"]
    bound = peek("registry", "meter/" + meter)
    require(bound is not None, "NOT_FOUND", "There is no such meter.")
    require(bound["gateway"] == caller(), "NOT_YOUR_METER", "The meter is read by another gateway.")
    require((interval + 1) * INTERVAL_MS <= block_time(), "INTERVAL_NOT_OVER", "The interval is not over yet.")
    key = "reading/" + meter + "/" + pad(interval, 10)
    known = get(key)
    if known is not None:
        same = known["sequence"] == reading["sequence"] and known["epoch"] == reading["epoch"]
        same = same and known["export_wh"] == reading["export_wh"] and known["import_wh"] == reading["import_wh"]
        if same and known["quality"] == reading["quality"]:
            return False
        correction = is_usable(reading) and not is_usable(known)
        require(correction, "READING_CONFLICT", "Another reading of this meter and interval is held already.")
    last = get("sequence/" + meter)
    if last is not None:
        rising = reading["epoch"] > last[0] or (reading["epoch"] == last[0] and reading["sequence"] > last[1])
        require(rising, "SEQUENCE_NOT_RISING", "A meter's sequence rises within an epoch.")
    put("sequence/" + meter, [reading["epoch"], reading["sequence"]])
    record = {
        "type": "reading",
        "owner": bound["owner"],
        "gateway": caller(),
        "meter": meter,
        "interval": interval,
        "epoch": reading["epoch"],
        "sequence": reading["sequence"],
        "import_wh": reading["import_wh"],
        "export_wh": reading["export_wh"],
        "quality": reading["quality"],
    }
    put(key, record)
    if is_usable(record):
        allocate(meter, interval, record["export_wh"])
    return True


def check_reading(reading):
    require(is_dict(reading), "READING_INVALID", "A reading is an object.")
    for name in ["interval", "epoch", "sequence", "import_wh", "export_wh"]:
        value = reading.get(name)
        require(is_int(value), "READING_INVALID", "A reading's numbers are integers.")
        require(0 <= value and value < 9007199254740992, "READING_INVALID", "A reading's numbers are 0 to 2^53.")
    require(is_str(reading.get("meter")), "READING_INVALID", "A reading names its meter.")
    known = ["good", "estimated", "stale", "suspect", "missing"]
    require(reading.get("quality") in known, "READING_INVALID", "A reading has one of the five qualities.")


def is_usable(record):
    """Good and estimated readings settle trades; the others wait for the deadline or a correction."""
    return record["quality"] == "good" or record["quality"] == "estimated"


def allocate(meter, interval, metered_wh):
    """Share the metered energy out, first trade first, and propose each trade's settlement."""
    prefix = "open/" + meter + "/" + pad(interval, 10) + "/"
    for key, energy_wh in scan(prefix, "", TRADES_MAX):
        delivered = min(energy_wh, metered_wh)
        metered_wh -= delivered
        delete(key)
        propose(get("trade/" + key[len(prefix) :]), delivered)


def propose(trade, delivered):
    """Fix what is to be paid and give back what no longer needs to be held."""
    shortfall = trade["energy_wh"] - delivered
    amount = delivered * trade["price"] // 1000
    penalty = shortfall * trade["imbalance_price"] // 1000
    call("credit", "release", [trade["buyer"], trade["energy_wh"] * trade["price"] // 1000 - amount])
    call("credit", "release", [trade["seller"], trade["energy_wh"] * trade["imbalance_price"] // 1000 - penalty])
    trade["delivered_wh"] = delivered
    grid_amount = delivered * trade["grid_fee"] // 1000
    trade["amount"] = amount
    trade["grid_amount"] = grid_amount
    trade["fee"] = (amount - grid_amount) * parameter("fee_permille") // 1000
    trade["penalty"] = penalty
    trade["status"] = "proposed"
    put("trade/" + trade["id"], trade)
    schedule(block_time() + parameter("confirmation_deadline_s") * 1000, "mark_overdue", [trade["id"]])
    emit("proposed", {"trade": trade["id"], "seller": trade["seller"], "buyer": trade["buyer"], "amount": amount})


@deadline
def close_metering(meter, interval):
    """The metering deadline: without a usable reading nothing was delivered."""
    known = get("reading/" + meter + "/" + pad(interval, 10))
    if known is None or not is_usable(known):
        allocate(meter, interval, 0)


# ------------------------------------------------------------------------------------------ confirmation


@export("seller", "buyer", "prosumer")
def confirm(trade: str):
    """Sign a proposed settlement, as seller, as buyer, or (with both signatures on the envelope) as both.

    The second signature pays. Repeating one's signature changes nothing. Errors: NOT_FOUND, NOT_METERED, NOT_PARTY.
    """
    confirm_one(trade)


@export("seller", "buyer", "prosumer")
def confirm_many(trades: list):
    """Sign up to 50 settlements at once. Errors: TOO_MANY, and as confirm."""
    require(len(trades) <= CONFIRMATIONS_MAX, "TOO_MANY", "At most 50 settlements at once.")
    for trade in trades:
        require(is_str(trade), "NOT_FOUND", "A trade's id is text.")
        confirm_one(trade)


def confirm_one(trade):
    record = get("trade/" + trade)
    require(record is not None, "NOT_FOUND", "There is no such trade.")
    if record["status"] == "settled":
        return
    require(record["status"] != "matched", "NOT_METERED", "The trade has not been metered yet.")
    by_seller = record["seller"] in signers()
    by_buyer = record["buyer"] in signers()
    require(by_seller or by_buyer, "NOT_PARTY", "Only seller and buyer confirm a settlement.")
    if by_seller:
        record["seller_confirmed"] = True
    if by_buyer:
        record["buyer_confirmed"] = True
    if record["seller_confirmed"] and record["buyer_confirmed"]:
        settle(record)
    put("trade/" + trade, record)


def settle(record):
    """Both have signed: the seller gets exactly the buyer's debit less both fees; the shortfall goes to balancing."""
    earned = record["amount"] - record["grid_amount"] - record["fee"]
    call("credit", "pay", [record["buyer"], record["seller"], earned])
    call("credit", "pay", [record["buyer"], GRID, record["grid_amount"]])
    call("credit", "pay", [record["buyer"], BALANCING, record["fee"]])
    call("credit", "pay", [record["seller"], BALANCING, record["penalty"]])
    record["status"] = "settled"
    emit("settled", {"trade": record["id"], "seller": record["seller"], "buyer": record["buyer"]})


@deadline
def mark_overdue(trade):
    """Silence past the deadline: the hold stays, both parties are told."""
    record = get("trade/" + trade)
    if record["status"] == "proposed":
        record["status"] = "overdue"
        put("trade/" + trade, record)
        emit("overdue", {"trade": trade, "seller": record["seller"], "buyer": record["buyer"]})
