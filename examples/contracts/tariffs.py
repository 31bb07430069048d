"""Tariffs: what suppliers ask for a kWh hour by hour, and which meter is on which tariff.

Tariff: `tariff/<id>` = {"supplier", "prices", "ends_ms", "ended"}. A meter's choice: `meter/<meter>` = {"tariff"}.
Prices are in micro-currency per kWh, one for each hour of the day (UTC).
"""

HOURS = 24
PRICE_MAX = 1000000000
DAYS_MAX = 366
DAY_MS = 86400000
USAGE_MAX = 1000


@export("seller", "prosumer")
def publish(prices: list, days: int):
    """Offer a tariff for some days; its id. Errors: PRICES_INVALID, DAYS_INVALID."""
    require(len(prices) == HOURS, "PRICES_INVALID", "A tariff has 24 prices.")
    for price in prices:
        sound = is_int(price) and 0 <= price and price <= PRICE_MAX
        require(sound, "PRICES_INVALID", "A price is 0 to " + str(PRICE_MAX) + " micro-currency per kWh.")
    require(1 <= days and days <= DAYS_MAX, "DAYS_INVALID", "A tariff is valid for 1 to 366 days.")
    tariff = pad(block_height(), 12) + "-" + pad(tx_index(), 5)
    ends_ms = block_time() + days * DAY_MS
    put("tariff/" + tariff, {"supplier": caller(), "prices": prices, "ends_ms": ends_ms, "ended": False})
    schedule(ends_ms, "end", [tariff])
    emit("published", {"tariff": tariff, "supplier": caller()})
    return tariff


@export("buyer", "prosumer")
def join(meter: str, tariff: str):
    """Put one's own meter on a tariff. Errors: NOT_YOUR_METER, NOT_FOUND, TARIFF_ENDED."""
    record = call("registry", "get_meter", [meter])
    require(record is not None and record["owner"] == caller(), "NOT_YOUR_METER", "The meter is not yours.")
    offer = need(tariff)
    require(not offer["ended"], "TARIFF_ENDED", "The tariff has ended.")
    put("meter/" + meter, {"tariff": tariff})
    emit("joined", {"meter": meter, "tariff": tariff})


@deadline
def end(tariff):
    """When a tariff's days are over, nobody joins it any more."""
    offer = need(tariff)
    offer["ended"] = True
    put("tariff/" + tariff, offer)
    emit("ended", {"tariff": tariff})


@view
def cost(meter: str, usage: list):
    """What a meter's usage costs in micro-currency: a list of [hour, Wh]. Errors: NOT_FOUND, USAGE_INVALID."""
    choice = get("meter/" + meter)
    require(choice is not None, "NOT_FOUND", "The meter is on no tariff.")
    prices = need(choice["tariff"])["prices"]
    require(len(usage) <= USAGE_MAX, "USAGE_INVALID", "A list of usage has 1,000 entries at most.")
    total = 0
    for hour, energy_wh in usage:
        sound = is_int(hour) and 0 <= hour and hour < HOURS and is_int(energy_wh) and energy_wh >= 0
        require(sound, "USAGE_INVALID", "An hour is 0 to 23, an energy 0 Wh or more.")
        total += energy_wh * prices[hour]
    return half_up_div(total, 1000)


def need(tariff):
    found = get("tariff/" + tariff)
    require(found is not None, "NOT_FOUND", "There is no such tariff.")
    return found
