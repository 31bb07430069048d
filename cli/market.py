"""`wattq market`: trade from the command line, as the person whose connection file is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli.trading import (
    EnergyWh,
    Interval,
    Json,
    Meter,
    Person,
    Price,
    clock_time,
    interval_of,
    money,
    price_of,
    show,
)
from sdk import methods
from sdk.calling import Call
from sdk.calls import market, settlement
from sdk.client import AsyncClient
from sdk.listings import listing_as_shown, price_at

PAGE_ROWS = 200
app = typer.Typer(
    help="Trade: look at the book, list and take energy, place orders, sign settlements.\n\n"
    "Who acts, and by which nodes, says a connection file (--connection, or WATTQ_CONNECTION): nodes, genesis, key.\n\n"
    "Exit codes: 0 done and proven, 1 refused, 2 bad arguments or files, 3 no node or no quorum answers.",
    no_args_is_help=True,
)
Context = typer.Context
Id = Annotated[str, typer.Argument(help="Its id, as told when it was made.")]
Status = Annotated[str, typer.Option(help="Only those that are open, filled, proposed, settled, …")]


@app.callback()
def connect(
    ctx: Context,
    connection: Annotated[
        Path, typer.Option("--connection", "-c", envvar="WATTQ_CONNECTION", help="A connection file or cluster.toml.")
    ] = Path("connection.toml"),
    key: Annotated[
        Path | None, typer.Option("--key", "-k", envvar="WATTQ_KEY", help="Your private key, if not the file's.")
    ] = None,
) -> None:
    ctx.obj = Person(connection, key)


@app.command()
def book(ctx: Context, interval: Interval = "+2", as_json: Json = False) -> None:
    """Price levels and listings of one interval, without names; needs no key.

    Example: wattq market book +4
    """

    async def work(client: AsyncClient) -> methods.Book:
        return await client.book(await interval_of(client, interval))

    found = ctx.obj.run(work)
    sides = {
        side: [{"price": level.price, "energy_wh": level.energy_wh} for level in levels]
        for side, levels in (("asks", found.asks), ("bids", found.bids))
    }
    listings = [
        {"listing": e.listing, "price": e.price, "remaining_wh": e.remaining_wh, "lot_wh": e.lot_wh}
        for e in found.listings
    ]
    if as_json:
        typer.echo(json.dumps({"interval": found.interval, "height": found.height, **sides, "listings": listings}))
        return
    typer.echo(f"Delivery from {clock_time(found.interval)} (interval {found.interval}), as of block {found.height}")
    for side, levels in sides.items():
        rows = [{**level, "price": money(level["price"])} for level in levels]
        show(rows, {"price": f"{side}, price per kWh", "energy_wh": "Wh"}, f"no {side}")
    rows = [{**listing, "price": money(listing["price"])} for listing in listings]
    show(
        rows,
        {"listing": "listing", "price": "price per kWh", "remaining_wh": "Wh left", "lot_wh": "lot, Wh"},
        "no listings",
    )


@app.command()
def sell(
    ctx: Context,
    meter: Meter,
    interval: Interval,
    energy_wh: EnergyWh,
    price: Price,
    lot_wh: Annotated[int, typer.Option("--lot", min=0, help="Wh that a taker takes at least; 0: all at once.")] = 0,
    as_json: Json = False,
) -> None:
    """Post a listing: energy of your meter at your price, grid fee not included.

    Example: wattq market sell MTR-1 +4 1000 0.18 --lot 100
    """

    async def call(client: AsyncClient) -> Call:
        number = await interval_of(client, interval)
        return market.post_listing(
            meter=meter, interval=number, energy_wh=energy_wh, price=price_of(price), lot_wh=lot_wh or energy_wh
        )

    ctx.obj.do(call, as_json, "listing {value} stands")


@app.command()
def take(
    ctx: Context,
    listing: Id,
    meter: Meter,
    interval: Interval,
    energy_wh: EnergyWh,
    price: Annotated[str, typer.Argument(help="Its price per kWh, as the book showed it.")],
    price_max: Annotated[
        str, typer.Option(help="The most that you pay per kWh, grid fee included; else what it is now, which is shown.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Take all or part of a listing for your meter, at its price and the grid fee to you.

    Before anything is signed, the listing is proven to stand at that price, and what the grid fee is: a node that shows
    a better price is caught. If the fee rises before it is executed, nothing is taken (PRICE_ABOVE_LIMIT).

    Example: wattq market take 000000000012-00000 MTR-2 +4 300 0.18
    """

    async def call(client: AsyncClient) -> Call:
        number = await interval_of(client, interval)
        found = await listing_as_shown(client, number, price_of(price), listing)
        most = price_of(price_max) if price_max else await price_at(client, number, found, meter)
        if not as_json:
            typer.echo(f"at most {money(most)} per kWh, grid fee included")
        return market.take_listing(listing=listing, meter=meter, energy_wh=energy_wh, price_max=most)

    ctx.obj.do(call, as_json, "trade {value}")


@app.command()
def order(
    ctx: Context,
    side: Annotated[Literal["bid", "ask"], typer.Argument(help="bid buys, ask sells.")],
    meter: Meter,
    interval: Interval,
    energy_wh: EnergyWh,
    price: Price,
    execution: Annotated[
        Literal["limit", "ioc", "fok"], typer.Option(help="What becomes of what does not match.")
    ] = "limit",
    as_json: Json = False,
) -> None:
    """Place an order in the continuous book.

    Example: wattq market order bid MTR-2 +4 500 0.24
    """

    async def call(client: AsyncClient) -> Call:
        number = await interval_of(client, interval)
        return market.place_order(
            side=side, meter=meter, interval=number, energy_wh=energy_wh, price=price_of(price), execution=execution
        )

    ctx.obj.do(call, as_json, "order {value}")


@app.command()
def amend(ctx: Context, order: Id, energy_wh: EnergyWh, price: Price, as_json: Json = False) -> None:
    """Give an open order of yours another energy or price; it goes behind all of that price.

    Example: wattq market amend 000000000012-00000 400 0.23
    """

    async def call(_: AsyncClient) -> Call:
        return market.amend_order(order=order, energy_wh=energy_wh, price=price_of(price))

    ctx.obj.do(call, as_json, "order {value}")


@app.command()
def cancel(
    ctx: Context,
    what: Id,
    listing: Annotated[bool, typer.Option("--listing", help="It is a listing, not an order.")] = False,
    as_json: Json = False,
) -> None:
    """Withdraw what is left of an order or a listing of yours.

    Example: wattq market cancel 000000000012-00000 --listing
    """

    async def call(_: AsyncClient) -> Call:
        return market.cancel_listing(listing=what) if listing else market.cancel_order(order=what)

    ctx.obj.do(call, as_json, f"{what} is withdrawn")


@app.command()
def trades(ctx: Context, status: Status = "", as_json: Json = False) -> None:
    """Your newest trades, and what became of them.

    Example: wattq market trades --status proposed
    """

    async def work(client: AsyncClient) -> list[Any]:
        selector = {"v.type": "trade"} | ({"v.status": status} if status else {})
        found = await client.query(selector, sort=({"_id": "desc"},), limit=PAGE_ROWS)
        return [row.value for row in found.rows]

    rows = ctx.obj.run(work)
    if as_json:
        typer.echo(json.dumps(rows))
        return
    told = [{**row, "price": money(row["price"]), "time": clock_time(row["interval"])} for row in rows]
    columns = {
        "id": "trade",
        "time": "delivery",
        "energy_wh": "Wh",
        "price": "price per kWh",
        "delivered_wh": "delivered",
        "status": "status",
    }
    show(told, columns, "no trades")


@app.command()
def adjustments(ctx: Context, status: Status = "", as_json: Json = False) -> None:
    """Adjustments of your trades; for the arbiter in force also those that are overdue and wait for a decision.

    Example: wattq market adjustments --status overdue
    """

    async def work(client: AsyncClient) -> list[Any]:
        found = await client.documents(methods.ADJUSTMENTS, limit=PAGE_ROWS, status=status or None)
        return [row.value for row in found.rows]

    rows = ctx.obj.run(work)
    if as_json:
        typer.echo(json.dumps(rows))
        return
    told = [{**row, "amount": money(row["amount"]), "time": clock_time(row["interval"])} for row in rows]
    columns = {
        "id": "adjustment",
        "time": "delivery",
        "before_wh": "Wh before",
        "after_wh": "after",
        "amount": "buyer owes",
        "status": "status",
    }
    show(told, columns, "no adjustments")


@app.command()
def confirm(
    ctx: Context,
    trade: Annotated[list[str] | None, typer.Argument(help="Trades whose settlement you sign.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Sign all that wait for you, up to 50.")] = False,
    as_json: Json = False,
) -> None:
    """Sign proposed settlements; the last signature pays.

    Example: wattq market confirm --all
    """

    async def call(client: AsyncClient) -> Call:
        chosen = list(trade or [])
        if everything:
            found = await client.query({"v.type": "trade", "v.status": "proposed"}, limit=50)
            mine = (row for row in found.rows if client.signer in (row.value["seller"], row.value["buyer"]))
            chosen = [row.value["id"] for row in mine]
        if not chosen:
            raise ValueError("nothing waits for you; name trades, or use --all when there are some")
        return settlement.confirm_many(trades=chosen)

    ctx.obj.do(call, as_json, "signed")


@app.command()
def dispute(
    ctx: Context,
    trade: Id,
    amount: Annotated[str, typer.Argument(help="How much you dispute, in currency units.")],
    reason: Annotated[str, typer.Argument(help="Why; the other side and the arbiter read it.")],
    as_json: Json = False,
) -> None:
    """Freeze a part of what you would owe, and sign the rest.

    Example: wattq market dispute 000000000012-00000 0.05 "the meter was being replaced"
    """

    async def call(_: AsyncClient) -> Call:
        return settlement.dispute(trade=trade, amount=price_of(amount), reason=reason)

    ctx.obj.do(call, as_json, "dispute {value}")


@app.command()
def account(ctx: Context, as_json: Json = False) -> None:
    """What you have, and what of it is held for open orders and trades.

    Example: wattq market account
    """
    row = ctx.obj.run(lambda client: client.account())
    if as_json:
        typer.echo(json.dumps({"height": row.height, **row.value}))
        return
    for name in ("available", "held"):
        typer.echo(f"{name:<10} {money(row.value[name])}")
