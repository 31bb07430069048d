"""McAfee's double auction (J. Econ. Theory 56, 1992) as a mechanism of the market: for study, truthful, with a deficit
never, by giving up the least valuable trade when it must.

Every order is for one lot of 1000 Wh; others are not served. Bids fall, asks rise; k is the last pair that meets. If
the mean of the pair after k lies between ask k and bid k, k pairs trade at it. Otherwise k - 1 pairs trade: buyers pay
bid k, sellers get ask k, and what is between the two stays with the grid's account.
"""

LOT_WH = 1000


@view
def clear(bids: list, asks: list, fee: int):
    """What the contract `auction` asks of a mechanism. Orders are [id, Wh, price], best first; prices in
    micro-currency per kWh, an ask's without the grid fee. Returns {"price", "seller_price", "bids", "asks"}, the latter
    two as lists of [id, Wh]."""
    buyers = lots(bids, 0)
    sellers = lots(asks, fee)
    count = 0
    while count < min(len(buyers), len(sellers)) and buyers[count][1] >= sellers[count][1]:
        count += 1
    if count == 0:
        return {"price": fee, "seller_price": 0, "bids": [], "asks": []}
    pays = buyers[count - 1][1]
    costs = sellers[count - 1][1]
    if count < min(len(buyers), len(sellers)):
        total = buyers[count][1] + sellers[count][1]
        mean = total // 2
        if 2 * costs <= total and total <= 2 * pays:
            return answer(mean, mean - fee, buyers[:count], sellers[:count])
    return answer(pays, costs - fee, buyers[: count - 1], sellers[: count - 1])


def lots(orders, fee):
    """Orders of one lot, with what their energy costs at the buyer's."""
    found = []
    for order in orders:
        if order[1] == LOT_WH:
            found.append([order[0], order[2] + fee])
    return found


def answer(price, seller_price, buyers, sellers):
    return {"price": price, "seller_price": seller_price, "bids": served(buyers), "asks": served(sellers)}


def served(orders):
    found = []
    for order in orders:
        found.append([order[0], LOT_WH])
    return found
