"""Settlement: signed readings, delivered energy, and payment once seller and buyer have both signed (S5).

delivered = min(contracted, remaining metered), first trade first: trades of 5 and 4 Wh with 8 Wh injected deliver 5
and 3. The shortfall is charged to the seller at the imbalance price. States: matched -> proposed -> settled; silence
past the deadline makes a trade overdue: it keeps its hold, both and the arbiter are told, and it can still be
confirmed, or decided by the arbiter with the one who has signed. No payment without both signatures, except by a
mandate that a party signed before the trade was made. A dispute freezes what it names; two of seller, buyer and
arbiter decide on it, and on overdue adjustments.

Trade: `trade/<id>`. Reading: `reading/<meter>/<interval>`; those before it: `superseded/<meter>/<interval>/<n>`. What
each trade of a meter's interval got: `share/<meter>/<interval>/<trade>` = [contracted, delivered or None, adjustments].
A late or corrected reading makes `adjustment/<trade>-<n>`, and rewrites no trade. Dispute: `dispute/<trade>-<seller or
buyer>`. Mandate: `mandate/<signer>`. A party's trades: `party/<signer>/<interval>/<trade>`.
"""

INTERVAL_MS = 900000
TRADES_MAX = 100
READINGS_MAX = 100
CONFIRMATIONS_MAX = 50
CORRECTIONS_MAX = 9
REASON_CHARS_MAX = 256
ROWS_MAX = 40
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

    The market's fee, the parties' policies and mandates are kept with the trade. Prices and fees are micro-currency per
    kWh. Errors: TOO_MANY_TRADES for one meter and interval, GRID_FEE_INVALID, SELF_TRADE where one side's keys can sign
    for the other (an auction looks at that when orders enter). Source: market rules, "Settlement".
    """
    seller_policy = policy_of(seller)
    buyer_policy = policy_of(buyer)
    if seller_policy is not None or buyer_policy is not None:
        apart = not share_control(signers_of(seller, seller_policy), signers_of(buyer, buyer_policy))
        require(apart or source == "auction", "SELF_TRADE", "Who signs for the one account can sign for the other.")
    require(0 <= grid_fee and grid_fee <= price, "GRID_FEE_INVALID", "The grid fee is a part of the price.")
    time = "/" + pad(interval, 10)
    place = "count/" + meter + time
    count = get(place)
    end_ms = (interval + 1) * INTERVAL_MS
    # What is made once the interval is over may come after its reading, and after the others' deadline.
    if count is None or block_time() >= end_ms:
        schedule(end_ms + parameter("metering_deadline_s") * 1000, "close_metering", [meter, interval])
    if count is None:
        count = 0
    require(count < TRADES_MAX, "TOO_MANY_TRADES", "This meter's interval has too many trades.")
    put(place, count + 1)
    time = time + "/" + trade
    put("share/" + meter + time, [energy_wh, None, 0])
    put("party/" + seller + time, "seller")
    put("party/" + buyer + time, "buyer")
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
            "fee_permille": parameter("fee_permille"),
            "energy_wh": energy_wh,
            "delivered_wh": 0,
            "amount": 0,
            "grid_amount": 0,
            "fee": 0,
            "penalty": 0,
            "source": source,
            "status": "matched",
            "seller_policy": seller_policy,
            "buyer_policy": buyer_policy,
            "seller_mandate": has_mandate(seller),
            "buyer_mandate": has_mandate(buyer),
            "seller_confirmed": False,
            "buyer_confirmed": False,
        },
    )


def has_mandate(account):
    """Whether who signs for an account now has given a mandate: one that others gave before does not bind them."""
    mandate = get("mandate/" + account)
    if mandate is None:
        return False
    policy = peek("credit", "policy/" + account)
    return policy is None or policy.get("height", 0) < mandate["height"]


def policy_of(account):
    """Who signs for an account, and who has: None where its own key does."""
    policy = peek("credit", "policy/" + account)
    if policy is None:
        return None
    return {"keys": policy["keys"], "threshold": policy["threshold"], "signed": []}


def signers_of(account, policy):
    """Who signs for an account, its own key where there is no policy."""
    if policy is None:
        return {"keys": [account], "threshold": 1}
    return policy


def share_control(one, other):
    """Whether those who sign for one of two accounts can be enough to sign for the other."""
    common = 0
    for key in one["keys"]:
        if key in other["keys"]:
            common += 1
    return common >= min(one["threshold"], other["threshold"])


# ------------------------------------------------------------------------------------------------- metering


@export("gateway")
def submit_readings(readings: list):
    """Signed readings of meters bound to the calling gateway, each {"meter", "interval", "epoch", "sequence",
    "import_wh", "export_wh", "quality"}; returns how many were new.

    A reading that is held already with the same content counts as done. One that can't settle trades gives way to one
    that can, and one that can to a later one (higher epoch or sequence), up to 9 times. Errors: READING_INVALID,
    READ_TWICE, NOT_FOUND, NOT_YOUR_METER, INTERVAL_NOT_OVER, READING_CONFLICT, TOO_MANY_CORRECTIONS,
    SEQUENCE_NOT_RISING, TOO_MANY. Source: market rules, "Settlement".
    """
    require(len(readings) <= READINGS_MAX, "TOO_MANY", "At most 100 readings at once.")
    fresh = 0
    read = {}
    for reading in readings:
        check_reading(reading)
        place = reading["meter"] + "/" + pad(reading["interval"], 10)
        require(place not in read, "READ_TWICE", "A meter's interval is read once in a call; correct it in another.")
        read[place] = True
        if take_reading(reading, place):
            fresh += 1
    return fresh


def take_reading(reading, place):
    meter = reading["meter"]
    interval = reading["interval"]
    bound = peek("registry", "meter/" + meter)
    require(bound is not None, "NOT_FOUND", "There is no such meter.")
    require(bound["gateway"] == caller(), "NOT_YOUR_METER", "The meter is read by another gateway.")
    require((interval + 1) * INTERVAL_MS <= block_time(), "INTERVAL_NOT_OVER", "The interval is not over yet.")
    key = "reading/" + place
    known = get(key)
    owner = bound["owner"]
    correction = 0
    if known is not None:
        if is_same(known, reading):
            return False
        correction = correct(known, reading)
        owner = known["owner"]
    last = get("sequence/" + meter)
    # Another gateway begins anew: else one could use up all numbers of those that come after it.
    if last is not None and (len(last) == 2 or last[2] == caller()):
        require(is_later(reading, last[0], last[1]), "SEQUENCE_NOT_RISING", "A meter's sequence rises within an epoch.")
    put("sequence/" + meter, [reading["epoch"], reading["sequence"], caller()])
    record = {
        "type": "reading",
        "owner": owner,
        "gateway": caller(),
        "meter": meter,
        "interval": interval,
        "epoch": reading["epoch"],
        "sequence": reading["sequence"],
        "import_wh": reading["import_wh"],
        "export_wh": reading["export_wh"],
        "quality": reading["quality"],
        "correction": correction,
    }
    put(key, record)
    if is_usable(record):
        allocate(meter, interval, record["export_wh"], True)
        minted = peek("origin", "minted/" + meter + "/" + pad(interval, 10))
        if minted is not None and minted["energy_wh"] > record["export_wh"]:
            call("origin", "cut", [meter, interval, record["export_wh"]])
    else:
        emit("unusable", {"meter": meter, "interval": interval, "owner": owner, "quality": record["quality"]})
    return True


def is_same(known, reading):
    for name in ["epoch", "sequence", "import_wh", "export_wh", "quality"]:
        if known[name] != reading[name]:
            return False
    return True


def is_later(reading, epoch, sequence):
    return reading["epoch"] > epoch or (reading["epoch"] == epoch and reading["sequence"] > sequence)


def correct(known, reading):
    """Keep what a reading takes the place of; returns the correction's number."""
    later = is_later(reading, known["epoch"], known["sequence"])
    allowed = is_usable(reading) and (later or not is_usable(known))
    require(allowed, "READING_CONFLICT", "Another reading of this meter and interval is held already.")
    number = known["correction"] + 1
    require(number <= CORRECTIONS_MAX, "TOO_MANY_CORRECTIONS", "A reading is corrected at most 9 times.")
    place = known["meter"] + "/" + pad(known["interval"], 10)
    put("superseded/" + place + "/" + pad(known["correction"], 2), known)
    return number


def check_reading(reading):
    require(is_dict(reading) and len(reading) == 7, "READING_INVALID", "A reading is an object of seven fields.")
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


def allocate(meter, interval, metered_wh, read):
    """Share the metered energy out, first trade first: propose what is new, adjust what is different. `read` says
    that a signed reading is the ground, as mandates want it."""
    prefix = "share/" + meter + "/" + pad(interval, 10) + "/"
    for key, share in scan(prefix, "", TRADES_MAX):
        delivered = min(share[0], metered_wh)
        metered_wh -= delivered
        before = share[1]
        trade = key[len(prefix) :]
        if before is None:
            put(key, [share[0], delivered, 0])
            propose(get("trade/" + trade), delivered, read)
        elif before != delivered and read:
            put(key, [share[0], delivered, share[2] + 1])
            adjust(get("trade/" + trade), share[2] + 1, before, delivered)


def owed(trade, delivered):
    """[amount, grid's part, fee, penalty] of a trade that delivers so much; each is rounded down once."""
    amount = delivered * trade["price"] // 1000
    grid_amount = delivered * trade["grid_fee"] // 1000
    fee = (amount - grid_amount) * trade["fee_permille"] // 1000
    return [amount, grid_amount, fee, (trade["energy_wh"] - delivered) * trade["imbalance_price"] // 1000]


def propose(trade, delivered, read):
    """Fix what is to be paid and give back what no longer needs to be held; mandates sign at once. Where no reading is
    the ground, a late one may come until both have signed: all that the buyer could owe stays held."""
    due = owed(trade, delivered)
    trade["delivered_wh"] = delivered
    trade["amount"] = due[0]
    trade["grid_amount"] = due[1]
    trade["fee"] = due[2]
    trade["penalty"] = due[3]
    trade["seller_disputed"] = 0
    trade["buyer_disputed"] = 0
    trade["open_disputes"] = 0
    trade["arbiter"] = ""
    trade["status"] = "proposed"
    trade["seller_confirmed"] = read and trade["seller_mandate"]
    trade["buyer_confirmed"] = read and trade["buyer_mandate"]
    freed = 0
    if read:
        freed = trade["energy_wh"] * trade["price"] // 1000 - due[0]
    else:
        trade["unread"] = True
    seller_freed = trade["energy_wh"] * trade["imbalance_price"] // 1000 - due[3]
    entries = [[trade["buyer"], freed, -freed], [trade["seller"], seller_freed, -seller_freed]]
    emit("proposed", notice(trade, {"trade": trade["id"], "amount": due[0], "penalty": due[3]}))
    if trade["seller_confirmed"] and trade["buyer_confirmed"]:
        settle(trade, entries)
    else:
        call("credit", "post", [entries])
        schedule(block_time() + parameter("confirmation_deadline_s") * 1000, "mark_overdue", [trade["id"]])
    put("trade/" + trade["id"], trade)


def notice(record, data):
    """An event's data, for both parties."""
    data["seller"] = record["seller"]
    data["buyer"] = record["buyer"]
    return data


@deadline
def close_metering(meter, interval):
    """The metering deadline: without a usable reading nothing was delivered, and the meter's owner is told; with one,
    trades made since then, as by an auction that a chain which stood still cleared late, get what is left.

    Source: market rules, "Settlement".
    """
    known = get("reading/" + meter + "/" + pad(interval, 10))
    if known is not None and is_usable(known):
        allocate(meter, interval, known["export_wh"], True)
    else:
        owner = peek("registry", "meter/" + meter)["owner"]
        emit("unmetered", {"meter": meter, "interval": interval, "owner": owner})
        allocate(meter, interval, 0, False)


# ------------------------------------------------------------------------------------------ confirmation


@export("seller", "buyer", "prosumer")
def set_mandate(granted: bool):
    """Have one's proposals on signed readings count as signed, of trades made from now on; False ends that for later
    trades. Who signs for the caller's account signs.

    Errors: SIGNATURES_LACKING, CHANGE_PENDING in the block that changes who signs, whose mandate nobody would find.
    Source: market rules, "Mandate".
    """
    policy = policy_of(caller())
    if policy is not None:
        lacking = "Too few have signed for the account."
        require(sign_for(policy) and is_complete(policy), "SIGNATURES_LACKING", lacking)
        known = not granted or peek("credit", "policy/" + caller()).get("height", 0) < block_height()
        require(known, "CHANGE_PENDING", "Who signs for the account changes in this block: try again in the next.")
    if granted:
        put("mandate/" + caller(), {"type": "mandate", "signer": caller(), "height": block_height()})
    else:
        delete("mandate/" + caller())
    emit("mandate_set", {"owner": caller(), "granted": granted})


@export("seller", "buyer", "prosumer")
def confirm(trade: str):
    """Sign a proposed settlement, as seller, as buyer, or (with both signatures on the envelope) as both.

    Where a policy was in force when the trade was made, its keys sign. The last signature pays. Repeating one's
    signature changes nothing. Errors: NOT_FOUND, NOT_METERED, NOT_PARTY. Source: market rules, "Settlement".
    """
    confirm_one(trade)


@export("seller", "buyer", "prosumer")
def confirm_many(trades: list):
    """Sign up to 50 settlements at once. Errors: TOO_MANY, and as confirm. Source: market rules, "Settlement"."""
    require(len(trades) <= CONFIRMATIONS_MAX, "TOO_MANY", "At most 50 settlements at once.")
    for trade in trades:
        require(is_str(trade), "NOT_FOUND", "A trade's id is text.")
        confirm_one(trade)


def confirm_one(trade):
    record = get("trade/" + trade)
    require(record is not None, "NOT_FOUND", "There is no such trade.")
    if record["status"] == "settled" or record["status"] == "disputed":
        return
    require(record["status"] != "matched", "NOT_METERED", "The trade has not been metered yet.")
    sign_as_parties(record)
    if record["seller_confirmed"] and record["buyer_confirmed"]:
        settle(record, [])
    put("trade/" + trade, record)


def sign_as_parties(record):
    by_seller = sign(record, "seller")
    by_buyer = sign(record, "buyer")
    require(by_seller or by_buyer, "NOT_PARTY", "Only seller and buyer confirm a settlement.")


def sign(record, side):
    """Count this transaction's signatures for a side; whether there is one."""
    policy = record[side + "_policy"]
    if policy is None:
        found = record[side] in signers()
        complete = found
    else:
        found = sign_for(policy)
        complete = is_complete(policy)
    if complete:
        record[side + "_confirmed"] = True
    return found


def sign_for(policy):
    found = False
    for signer in signers():
        if signer in policy["keys"]:
            found = True
            if signer not in policy["signed"]:
                policy["signed"].append(signer)
    return found


def is_complete(policy):
    return len(policy["signed"]) >= policy["threshold"]


def settle(record, entries):
    """Both have signed: the seller gets exactly the buyer's debit less both fees; the shortfall goes to balancing.
    What is disputed waits for its decision."""
    unread = record.get("unread", False)
    if unread:
        freed = record["energy_wh"] * record["price"] // 1000 - record["amount"]
        entries.append([record["buyer"], freed, -freed])
    pay_part(record, 0, record["amount"] - record["buyer_disputed"], entries)
    pay_penalty(record, record["penalty"] - record["seller_disputed"], entries)
    call("credit", "post", [entries])
    if unread:
        cover(record)
    if record["open_disputes"] > 0:
        record["status"] = "disputed"
    else:
        end(record)


def cover(trade):
    """What late readings found that the buyer owes stays held from the trade's hold, whenever it is signed."""
    share = get("share/" + trade["meter"] + "/" + pad(trade["interval"], 10) + "/" + trade["id"])
    for number in range(1, share[2] + 1):
        key = adjustment_key(trade["id"], number)
        record = get(key)
        if record["amount"] > 0 and has(record["buyer"], record["amount"]):
            call("credit", "post", [[[record["buyer"], -record["amount"], record["amount"]]]])
            record["covered"] = True
            put(key, record)


def end(record):
    record["status"] = "settled"
    emit("settled", notice(record, {"trade": record["id"]}))


def pay_part(record, before, paid, entries):
    """Entries that pay the buyer's debt further, from `before` to `paid`, both fees in proportion."""
    now = fees_of(record, paid)
    then = fees_of(record, before)
    grid_part = now[0] - then[0]
    fee_part = now[1] - then[1]
    entries.append([record["buyer"], 0, before - paid])
    entries.append([record["seller"], paid - before - grid_part - fee_part, 0])
    entries.append([GRID, grid_part, 0])
    entries.append([BALANCING, fee_part, 0])


def fees_of(record, paid):
    """[grid's part, market's fee] of so much of the buyer's debt, rounded down: the grid's of all of it, the market's
    of what that leaves, so that whatever more is paid never leaves the seller less."""
    grid_part = 0
    fee = 0
    if paid > 0:
        grid_part = record["grid_amount"] * paid // record["amount"]
    if paid > grid_part:
        fee = record["fee"] * (paid - grid_part) // (record["amount"] - record["grid_amount"])
    return [grid_part, fee]


def pay_penalty(record, paid, entries):
    entries.append([record["seller"], 0, -paid])
    entries.append([BALANCING, paid, 0])


@deadline
def mark_overdue(trade):
    """Silence past the deadline: the hold stays, both parties and the arbiter are told.

    Source: market rules, "Settlement".
    """
    record = get("trade/" + trade)
    if record["status"] == "proposed":
        record["status"] = "overdue"
        record["arbiter"] = arbiter()
        put("trade/" + trade, record)
        emit("overdue", notice(record, {"trade": trade, "arbiter": record["arbiter"]}))


@export("arbiter")
def decide_trade(trade: str):
    """Sign, as the arbiter in force, an overdue settlement that seller or buyer has signed: two of three pay it, out of
    what is held for it. What the one has disputed stays frozen.

    Errors: NOT_FOUND, NOT_OVERDUE, NOT_PARTY, SIGNATURES_LACKING. Source: market rules, "Dispute".
    """
    record = get("trade/" + trade)
    require(record is not None, "NOT_FOUND", "There is no such trade.")
    require(record["status"] == "overdue", "NOT_OVERDUE", "The parties' time to sign is not over, or all is decided.")
    need_second(record)
    settle(record, [])
    put("trade/" + trade, record)


def need_second(record):
    """The arbiter in force signs what one of the two has signed, and is neither of them."""
    require(caller() == arbiter(), "NOT_PARTY", "Only the arbiter in force decides.")
    require(side_of(record, caller()) == "", "NOT_PARTY", "Who signs for a party does not decide for the other.")
    one_signed = record["seller_confirmed"] or record["buyer_confirmed"]
    require(one_signed, "SIGNATURES_LACKING", "The arbiter decides with one of the two, not alone.")
    record["arbiter"] = caller()


# ------------------------------------------------------------------------------------------------ disputes


@export("seller", "buyer", "prosumer")
def dispute(trade: str, amount: int, reason: str):
    """Freeze a part (micro-currency) of what one owes by a proposal, and sign the rest; returns the dispute's id.

    The buyer disputes the amount, the seller the penalty, each once. Errors: NOT_FOUND, NOT_PARTY, NOT_PROPOSED,
    ALREADY_CONFIRMED, AMOUNT_INVALID, REASON_INVALID, SIGNATURES_LACKING. Source: market rules, "Dispute".
    """
    record = get("trade/" + trade)
    require(record is not None, "NOT_FOUND", "There is no such trade.")
    side = side_of(record, caller())
    require(side != "", "NOT_PARTY", "Only seller and buyer dispute a settlement.")
    open_now = record["status"] == "proposed" or record["status"] == "overdue"
    require(open_now, "NOT_PROPOSED", "Only what is proposed and not settled is disputed.")
    require(not record[side + "_confirmed"], "ALREADY_CONFIRMED", "Who has signed does not dispute.")
    most = record["amount"]
    if side == "seller":
        most = record["penalty"]
    require(0 < amount and amount <= most, "AMOUNT_INVALID", "One disputes 1 up to what one owes.")
    require(len(reason) <= REASON_CHARS_MAX, "REASON_INVALID", "A reason has at most 256 characters.")
    # What others have signed was to pay it all.
    require(votes_now(record, {}, side), "SIGNATURES_LACKING", "Too few have signed for the account.")
    sign(record, side)
    name = trade + "-" + side
    judge = arbiter()
    put(
        "dispute/" + name,
        {
            "type": "dispute",
            "id": name,
            "trade": trade,
            "side": side,
            "seller": record["seller"],
            "buyer": record["buyer"],
            "arbiter": judge,
            "disputed": amount,
            "paid": 0,
            "reason": reason,
            "votes": {"seller": None, "buyer": None, "arbiter": None},
            "status": "open",
        },
    )
    record[side + "_disputed"] = amount
    record["open_disputes"] += 1
    record["arbiter"] = judge
    reprice_adjustments(record)
    if record["seller_confirmed"] and record["buyer_confirmed"]:
        settle(record, [])
    put("trade/" + trade, record)
    emit("disputed", notice(record, {"dispute": name, "amount": amount, "arbiter": judge}))
    return name


def reprice_adjustments(trade):
    """What a correction changes of the disputed part is the decision's; the rest of it stays due. Nobody has signed any
    of these adjustments yet, since the trade itself comes first."""
    share = get("share/" + trade["meter"] + "/" + pad(trade["interval"], 10) + "/" + trade["id"])
    for number in range(1, share[2] + 1):
        record = get(adjustment_key(trade["id"], number))
        price_adjustment(trade, record)
        put("adjustment/" + record["id"], record)


def side_of(record, signer):
    for side in ["seller", "buyer"]:
        policy = record[side + "_policy"]
        if (policy is None and record[side] == signer) or (policy is not None and signer in policy["keys"]):
            return side
    return ""


def arbiter():
    """The arbiter in force, or '' if there is none."""
    named = peek("registry", "arbiter")
    if named is None:
        return ""
    return named["signer"]


@export("seller", "buyer", "prosumer", "arbiter")
def resolve(dispute_id: str, paid: int):
    """Say how much (micro-currency) of what is frozen is to be paid; the rest goes back. Two of seller, buyer and
    arbiter who say the same decide. The arbiter is the one in force at the dispute, or now if that one may not act,
    or signs for a party, whose vote then counts no more.

    Returns whether it is decided. Errors: NOT_FOUND, NOT_OPEN, AMOUNT_INVALID, NOT_PARTY. Source: market rules,
    "Dispute".
    """
    record = get("dispute/" + dispute_id)
    require(record is not None, "NOT_FOUND", "There is no such dispute.")
    require(record["status"] == "open", "NOT_OPEN", "The dispute is decided.")
    require(0 <= paid and paid <= record["disputed"], "AMOUNT_INVALID", "0 up to what is frozen is paid.")
    trade = get("trade/" + record["trade"])
    if not may_decide(trade, record["arbiter"]):
        # Who may not act any more does not decide by an earlier vote either.
        record["arbiter"] = arbiter()
        record["votes"]["arbiter"] = None
    voted = False
    agreed = 0
    for voter in ["seller", "buyer", "arbiter"]:
        if votes_now(trade, record, voter):
            record["votes"][voter] = paid
            voted = True
        if record["votes"][voter] == paid:
            agreed += 1
    require(voted, "NOT_PARTY", "Seller, buyer and arbiter decide on a dispute.")
    emit("voted", notice(record, {"dispute": dispute_id, "paid": paid, "arbiter": record["arbiter"]}))
    if agreed > 1:
        decide(trade, record, paid)
    put("dispute/" + dispute_id, record)
    return agreed > 1


def votes_now(trade, record, voter):
    """Whether this transaction carries the signatures of one of the three."""
    if voter == "arbiter":
        return record["arbiter"] in signers() and may_decide(trade, record["arbiter"])
    policy = trade[voter + "_policy"]
    if policy is None:
        return trade[voter] in signers()
    found = 0
    for signer in signers():
        if signer in policy["keys"]:
            found += 1
    return found >= policy["threshold"]


def may_decide(record, signer):
    """Whether somebody is an arbiter, and a third: one key has one of the three votes."""
    return standing(signer, ["arbiter"]) == "" and side_of(record, signer) == ""


def decide(trade, record, paid):
    """Pay what was decided out of what is frozen, and free the rest."""
    side = record["side"]
    back = record["disputed"] - paid
    entries = [[record[side], back, -back]]
    if side == "buyer":
        before = trade["amount"] - record["disputed"]
        pay_part(trade, before, before + paid, entries)
    else:
        pay_penalty(trade, paid, entries)
    call("credit", "post", [entries])
    record["paid"] = paid
    record["status"] = "resolved"
    emit("resolved", notice(record, {"dispute": record["id"], "paid": paid, "arbiter": record["arbiter"]}))
    trade["open_disputes"] -= 1
    if trade["status"] == "disputed" and trade["open_disputes"] == 0:
        end(trade)
    put("trade/" + trade["id"], trade)


# --------------------------------------------------------------------------------------------- adjustments


def adjust(trade, number, before_wh, after_wh):
    """A late or corrected reading changed what a trade delivered: propose the difference; the trade stays as it is."""
    name = trade["id"] + "-" + pad(number, 2)
    record = {
        "type": "adjustment",
        "id": name,
        "trade": trade["id"],
        "number": number,
        "interval": trade["interval"],
        "meter": trade["meter"],
        "seller": trade["seller"],
        "buyer": trade["buyer"],
        "before_wh": before_wh,
        "after_wh": after_wh,
        "status": "proposed",
        "seller_policy": unsigned(trade["seller_policy"]),
        "buyer_policy": unsigned(trade["buyer_policy"]),
        "seller_confirmed": False,
        "buyer_confirmed": False,
    }
    price_adjustment(trade, record)
    emit("adjusted", notice(record, {"adjustment": name, "before_wh": before_wh, "after_wh": after_wh}))
    if record["status"] == "proposed" and waits_for(trade, number) == "":
        sign_by_mandates(trade, record)
    if record["status"] == "proposed":
        schedule(block_time() + parameter("confirmation_deadline_s") * 1000, "mark_adjustment_overdue", [name])
    put("adjustment/" + name, record)


def price_adjustment(trade, record):
    """The difference in what the two deliveries owe beside the disputed part; where there is none, it is void."""
    before = undisputed(trade, record["before_wh"])
    after = undisputed(trade, record["after_wh"])
    changes = False
    for index, name in enumerate(["amount", "grid_amount", "fee", "penalty"]):
        record[name] = after[index] - before[index]
        changes = changes or record[name] != 0
    if not changes:
        record["status"] = "void"


def undisputed(trade, delivered):
    """What a delivery owes, less what of it falls into the disputed part, which is the last of what was proposed."""
    due = owed(trade, delivered)
    frozen = trade["buyer_disputed"]
    below = trade["amount"] - frozen
    if frozen > 0 and due[0] > below:
        due[0] = max(below, due[0] - frozen)
        fees = fees_of(trade, below)
        due[1] = fees[0] + max(0, due[1] - trade["grid_amount"])
        due[2] = fees[1] + max(0, due[2] - trade["fee"])
    frozen = trade["seller_disputed"]
    due[3] = max(min(due[3], trade["penalty"] - frozen), due[3] - frozen)
    return due


def sign_by_mandates(trade, record):
    """A mandate signs where the money is there; both settle."""
    for side in ["seller", "buyer"]:
        cost = max(0, -gain(record, side))
        if trade[side + "_mandate"] and has(record[side], cost):
            call("credit", "post", [[[record[side], -cost, cost]]])
            record[side + "_confirmed"] = True
    both = record["seller_confirmed"] and record["buyer_confirmed"]
    if both and has(GRID, -record["grid_amount"]) and has(BALANCING, -record["fee"] - record["penalty"]):
        settle_adjustment(record)


def unsigned(policy):
    if policy is None:
        return None
    return {"keys": policy["keys"], "threshold": policy["threshold"], "signed": []}


def gain(record, side):
    """What an adjustment brings a side, negative if it costs it: (amount less fees less penalty), or its opposite."""
    if side == "buyer":
        return -record["amount"]
    return record["amount"] - record["grid_amount"] - record["fee"] - record["penalty"]


def has(account, amount):
    """Whether so much is available in an account."""
    if amount <= 0:
        return True
    known = peek("credit", "account/" + account)
    return known is not None and known["available"] >= amount


def waits_for(trade, number):
    """Why an adjustment cannot be paid yet, or ''."""
    if trade["status"] != "settled" and trade["status"] != "disputed":
        return "EARLIER_OPEN"
    if number > 1 and get(adjustment_key(trade["id"], number - 1))["status"] not in ["settled", "void"]:
        return "EARLIER_OPEN"
    return ""


def adjustment_key(trade, number):
    return "adjustment/" + trade + "-" + pad(number, 2)


@export("seller", "buyer", "prosumer")
def confirm_adjustments(adjustments: list):
    """Sign up to 50 adjustments at once; what an adjustment costs a party is held when it signs, and the last
    signature pays.

    A trade's own settlement and its earlier adjustments come first. What lies in a trade's disputed part is the
    decision's alone (DISPUTED). Errors: TOO_MANY, NOT_FOUND, NOT_PARTY, EARLIER_OPEN, DISPUTED, INSUFFICIENT_FUNDS.
    Source: market rules, "Adjustment".
    """
    require(len(adjustments) <= CONFIRMATIONS_MAX, "TOO_MANY", "At most 50 adjustments at once.")
    for name in adjustments:
        require(is_str(name), "NOT_FOUND", "An adjustment's id is text.")
        confirm_adjustment(name)


def confirm_adjustment(name):
    record = get("adjustment/" + name)
    require(record is not None, "NOT_FOUND", "There is no such adjustment.")
    if record["status"] == "settled":
        return
    require(record["status"] != "void", "DISPUTED", "It changes nothing but what is disputed.")
    reason = waits_for(get("trade/" + record["trade"]), record["number"])
    require(reason == "", "EARLIER_OPEN", "The trade and its earlier adjustments are settled first.")
    before = {"seller": record["seller_confirmed"], "buyer": record["buyer_confirmed"]}
    sign_as_parties(record)
    for side in ["seller", "buyer"]:
        if record[side + "_confirmed"] and not before[side]:
            hold_cost(record, side)
    if record["seller_confirmed"] and record["buyer_confirmed"]:
        settle_adjustment(record)
    put("adjustment/" + name, record)


@export("arbiter")
def decide_adjustment(adjustment: str):
    """Sign, as the arbiter in force, an overdue adjustment that seller or buyer has signed: two of three settle it.
    What it costs the other one is taken from what that one has available.

    Errors: NOT_FOUND, NOT_OVERDUE, NOT_PARTY, EARLIER_OPEN, SIGNATURES_LACKING, INSUFFICIENT_FUNDS. Source: market
    rules, "Dispute".
    """
    record = get("adjustment/" + adjustment)
    require(record is not None, "NOT_FOUND", "There is no such adjustment.")
    require(record["status"] == "overdue", "NOT_OVERDUE", "The parties' time to sign is not over, or all is decided.")
    reason = waits_for(get("trade/" + record["trade"]), record["number"])
    require(reason == "", "EARLIER_OPEN", "The trade and its earlier adjustments are settled first.")
    need_second(record)
    for side in ["seller", "buyer"]:
        if not record[side + "_confirmed"]:
            hold_cost(record, side)
    settle_adjustment(record)
    put("adjustment/" + adjustment, record)


def hold_cost(record, side):
    """Hold what an adjustment costs a side, if it is not held already."""
    if side == "buyer" and record.get("covered", False):
        return
    cost = max(0, -gain(record, side))
    call("credit", "post", [[[record[side], -cost, cost]]])


def settle_adjustment(record):
    entries = []
    for side in ["seller", "buyer"]:
        change = gain(record, side)
        entries.append([record[side], max(0, change), min(0, change)])
    entries.append([GRID, record["grid_amount"], 0])
    entries.append([BALANCING, record["fee"] + record["penalty"], 0])
    call("credit", "post", [entries])
    record["status"] = "settled"
    emit("adjustment_settled", notice(record, {"adjustment": record["id"]}))


@deadline
def mark_adjustment_overdue(name):
    """Silence past the deadline: nothing moves, both parties and the arbiter are told.

    Source: market rules, "Adjustment".
    """
    record = get("adjustment/" + name)
    if record["status"] == "proposed":
        record["status"] = "overdue"
        put("adjustment/" + name, record)
        emit("adjustment_overdue", notice(record, {"adjustment": name, "arbiter": arbiter()}))


# ---------------------------------------------------------------------------------------------- statements


@view
def statement(party: str, first_interval: int, last_interval: int, after: str, limit: int):
    """A party's trades in a range of intervals, up to 40 a page: energy, payments, fees, adjustments.

    Returns {"rows", "next", "completeness_percent", "provisional"}: `next` is what to pass as `after` for the following
    page, '' at the end. Completeness is the share of the page's rows whose energy a usable reading tells; a row is
    provisional, and counted, until its trade and adjustments are settled on a good reading. Money is micro-currency,
    prices a kWh. Errors: LIMIT_INVALID. Source: market rules, "Statement".
    """
    require(1 <= limit and limit <= ROWS_MAX, "LIMIT_INVALID", "A page has 1 to 40 rows.")
    prefix = "party/" + party + "/"
    start = after
    if start == "":
        start = pad(first_interval, 10)
    rows = []
    last_key = ""
    provisional = 0
    metered = 0
    for key, side in scan(prefix, prefix + start, limit):
        place = key[len(prefix) :]
        if place[:10] > pad(last_interval, 10):
            break
        row = statement_row(place[11:], side)
        rows.append(row)
        last_key = place
        if row["provisional"]:
            provisional += 1
        if is_usable(row):
            metered += 1
    if len(rows) < limit:
        last_key = ""
    percent = 100
    if len(rows) > 0:
        percent = metered * 100 // len(rows)
    return {"rows": rows, "next": last_key, "completeness_percent": percent, "provisional": provisional}


def statement_row(trade, side):
    record = get("trade/" + trade)
    place = record["meter"] + "/" + pad(record["interval"], 10)
    reading = get("reading/" + place)
    quality = "none"
    if reading is not None:
        quality = reading["quality"]
    share = get("share/" + place + "/" + trade)
    final = record["status"] == "settled" and quality == "good"
    adjustments = []
    for number in range(1, share[2] + 1):
        made = get(adjustment_key(trade, number))
        final = final and made["status"] in ["settled", "void"]
        adjustments.append(
            {
                "adjustment": made["id"],
                "delivered_wh": made["after_wh"],
                "gain": gain(made, side),
                "status": made["status"],
            }
        )
    return {
        "trade": trade,
        "side": side,
        "interval": record["interval"],
        "energy_wh": record["energy_wh"],
        "delivered_wh": record["delivered_wh"],
        "price": record["price"],
        "amount": record["amount"],
        "grid_amount": record["grid_amount"],
        "fee": record["fee"],
        "penalty": record["penalty"],
        "status": record["status"],
        "quality": quality,
        "adjustments": adjustments,
        "disputes": disputes_of(record),
        "provisional": not final,
    }


def disputes_of(record):
    found = []
    if record["status"] == "matched":
        return found
    for side in ["seller", "buyer"]:
        if record[side + "_disputed"] > 0:
            known = get("dispute/" + record["id"] + "-" + side)
            found.append(
                {"side": side, "disputed": known["disputed"], "paid": known["paid"], "status": known["status"]}
            )
    return found
