"""`wattq market take` by a node that shows a better price than there is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, made_desk
from ledgers import BOB, CAROL, GENESIS
from typer.testing import CliRunner

from api.socket import SocketServer
from cli.main import app
from ledger.genesis import write_genesis
from ledger.proofs import ProofInvalid
from sdk.client import AsyncClient
from sdk.errors import NotAsShown, Problem, Refused
from sdk.listings import listing_as_shown, offer_key
from sdk.methods import Book, NodeStatus, OpenListing
from sdk.transports import connect

LISTING, INTERVAL, PRICE = "000000000012-00000", 7, 900_000
ROW = [LISTING, 1_000, 100, "north"]
METER, GRID_FEE = "registry/meter/M-1", "governance/grid_fee/north/south"
FEE = {"fee": 30_000, "before": 20_000, "from_ms": INTERVAL * 900_000}


@dataclass
class Node:
    """A node's service behind its socket; ``lies``: what it makes of its answers, by method."""

    home: Path
    desk: Desk
    lies: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    submitted: list[Any] = field(default_factory=list)

    async def handle(self, method: str, params: Any, token: str, origin: str = "") -> Any:
        self.asked.append(method)
        if method == "status":
            height = self.desk.ledger.height
            return NodeStatus("node1", 0, "1", "", "main", 0, True, "", height, height, "", 0, height, 0, (), {}, ())
        if method == "submit":
            self.submitted.append(json.loads(params.payload))
            raise Refused(Problem("INSUFFICIENT_FUNDS", "There is not enough.", 422))
        answer = await self.desk.service.handle(method, params, token, origin)
        return self.lies[method](answer) if method in self.lies else answer

    async def wattq(self, *words: str) -> tuple[int, str, str]:
        command = ["market", "-c", str(self.home / "connection.toml"), *words]
        result = await asyncio.to_thread(CliRunner().invoke, app, command)
        return result.exit_code, result.stdout, result.stderr

    def client(self) -> AsyncClient:
        return AsyncClient([connect(f"unix:{self.home / 's'}")], GENESIS, BOB)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    write_genesis(tmp_path / "genesis.json", GENESIS)
    await asyncio.to_thread(BOB.save, tmp_path / "bob.key")
    text = f'nodes = ["unix:{tmp_path / "s"}"]\ngenesis = "genesis.json"\nkey = "bob.key"\n'
    (tmp_path / "connection.toml").write_text(text)
    desk = made_desk(tmp_path)
    desk.plant({offer_key(INTERVAL, PRICE, LISTING): ROW, METER: {"owner": BOB.signer, "zone": "south"}, GRID_FEE: FEE})
    desk.certify(desk.ledger.height)
    made = Node(tmp_path, desk)
    server = SocketServer(made.handle, connections_max=16)
    await server.listen_unix(tmp_path / "s")
    yield made
    await server.close()
    desk.close()


def tenfold_cheaper(book: Book) -> Book:
    listings = tuple(OpenListing(e.listing, e.price // 10, e.remaining_wh, e.lot_wh, e.zone) for e in book.listings)
    return Book(book.interval, book.height, book.bids, book.asks, listings)


async def test_a_price_that_a_node_made_up_is_caught_before_anything_is_signed(node: Node) -> None:
    """Somebody saw 0.09 in a lying node's book, and signed for a trade at 0.90: the signed call names no price."""
    node.lies["book"] = tenfold_cheaper
    code, told, _ = await node.wattq("book", str(INTERVAL), "--json")
    (shown,) = json.loads(told)["listings"]
    assert (code, shown["price"]) == (0, PRICE // 10)
    code, _, told = await node.wattq("take", shown["listing"], "M-1", str(INTERVAL), "1000", "0.09")
    assert (code, "stands at 0.090000" in told, "Nothing was signed" in told) == (1, True, True)
    assert "submit" not in node.asked


async def test_a_proof_that_proves_nothing_is_caught_too(node: Node) -> None:
    def other_key(answer: Any) -> Any:
        text = json.dumps(answer.proof).replace(f"{PRICE // 10:010d}", f"{PRICE:010d}")
        return type(answer)(json.loads(text))

    node.lies["proof"] = other_key
    async with node.client() as client:
        with pytest.raises((ProofInvalid, NotAsShown)):
            await listing_as_shown(client, INTERVAL, PRICE // 10, LISTING)


async def test_a_listing_at_the_price_that_was_shown_is_proven_with_what_is_left(node: Node) -> None:
    async with node.client() as client:
        assert await listing_as_shown(client, INTERVAL, PRICE, LISTING) == OpenListing(
            LISTING, PRICE, 1_000, 100, "north"
        )
        for interval, listing in ((INTERVAL + 1, LISTING), (INTERVAL, "000000000012-00001")):
            with pytest.raises(NotAsShown):
                await listing_as_shown(client, interval, PRICE, listing)


async def test_taking_at_the_price_that_stands_is_signed(node: Node) -> None:
    code, shown, told = await node.wattq("take", LISTING, "M-1", str(INTERVAL), "1000", "0.9")
    assert (code, "INSUFFICIENT_FUNDS" in told, "submit" in node.asked) == (1, True, True)
    assert "at most 0.930000 per kWh, grid fee included" in shown


@pytest.mark.parametrize(
    ("words", "fee", "signed"),
    [
        ([], FEE, PRICE + 30_000), ([], {**FEE, "from_ms": INTERVAL * 900_000 + 1}, PRICE + 20_000),
        (["--price-max", "0.95"], FEE, 950_000), (["--price-max", "0.9"], FEE, PRICE),
    ],
)  # fmt: skip
async def test_what_is_signed_is_the_price_with_the_fee_that_was_shown_or_ones_own_limit(
    node: Node, words: list[str], fee: dict[str, int], signed: int
) -> None:
    node.desk.plant({GRID_FEE: fee})
    node.desk.certify(node.desk.ledger.height)
    await node.wattq("take", LISTING, "M-1", str(INTERVAL), "1000", "0.9", *words)
    assert node.submitted[0]["args"] == {"listing": LISTING, "meter": "M-1", "energy_wh": 1_000, "price_max": signed}


@pytest.mark.parametrize("meter", ["M-2", "M-3"])
async def test_nothing_is_signed_for_a_meter_that_is_not_ones_own(node: Node, meter: str) -> None:
    node.desk.plant({"registry/meter/M-2": {"owner": CAROL.signer, "zone": "south"}})
    node.desk.certify(node.desk.ledger.height)
    code, _, _ = await node.wattq("take", LISTING, meter, str(INTERVAL), "1000", "0.9", "--json")
    assert (code, node.submitted) == (1, [])
