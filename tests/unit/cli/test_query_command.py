"""`wattq query` against a node's service, and `wattq verify proof`: what they tell, and with which exit codes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from desk import OPERATOR, Desk, made_desk
from ledgers import ALICE, BOB, GENESIS, certificate_of, envelope, open_ledger, run_block
from typer.testing import CliRunner

from api.options import RestOptions
from api.rest import RestServer
from api.socket import SocketServer
from ca.keys import SigningKey
from cli.main import app
from ledger.genesis import write_genesis
from ledger.proofs import to_json
from sdk import methods
from sdk.client import AsyncClient, check_rows
from sdk.errors import Refused
from sdk.methods import Rows
from sdk.transports import SocketTransport, connect

BODY_BYTES_MAX = 1 << 18


@pytest.fixture
def proofs(tmp_path: Path) -> dict[str, Any]:
    write_genesis(tmp_path / "genesis.json", GENESIS)
    ledger = open_ledger(tmp_path / "ledger")
    run_block(ledger, envelope(args={"key": "a", "value": 5}))
    ledger.certify([certificate_of(ledger.block(1).statement)])
    prover = ledger.prover()
    assert prover is not None
    made = {key: to_json(prover.whole(key)) for key in ("box/a", "box/b")}
    ledger.close()
    return made


def verify(directory: Path, content: str, *options: str) -> tuple[int, str]:
    file = directory / "proof.json"
    file.write_text(content)
    told = CliRunner().invoke(app, ["verify", "proof", str(file), "-g", str(directory / "genesis.json"), *options])
    return told.exit_code, told.output


def test_a_proof_of_presence_and_one_of_absence_are_told(tmp_path: Path, proofs: dict[str, Any]) -> None:
    code, output = verify(tmp_path, json.dumps({"proof": proofs["box/a"]}))
    assert code == 0
    assert "box/a holds 5, written in block 1, place 0" in output
    code, output = verify(tmp_path, json.dumps(proofs["box/b"]))
    assert code == 0
    assert "box/b is absent at block 1" in output
    code, output = verify(tmp_path, json.dumps(proofs["box/a"]), "--json")
    assert (code, json.loads(output)["value"], json.loads(output)["version"]) == (0, 5, [1, 0])


def test_an_invalid_proof_and_an_unreadable_file_have_exit_codes_of_their_own(
    tmp_path: Path, proofs: dict[str, Any]
) -> None:
    proofs["box/a"]["entry"]["key"] = "box/b"
    code, output = verify(tmp_path, json.dumps(proofs["box/a"]))
    assert code == 1
    assert "INVALID, branches" in output
    code, output = verify(tmp_path, json.dumps([]), "--json")
    assert (code, json.loads(output)["fault"]) == (1, "malformed")
    assert verify(tmp_path, "{")[0] == 2


# --------------------------------------------------------------------------------------------------- asking


@dataclass
class Asked:
    """A node's service with its socket and REST, and the commands that ask it."""

    home: Path
    desk: Desk
    url: str

    async def run(self, key: SigningKey, *words: str) -> tuple[int, str]:
        file = self.home / f"{key.signer[:8]}.key"
        if not file.exists():
            await asyncio.to_thread(key.save, file)
        command = ["query", words[0], "--key", str(file), "--node", f"unix:{self.home / 's'}"]
        command += ["--genesis", str(self.home / "genesis.json"), *words[1:]]
        result = await asyncio.to_thread(CliRunner().invoke, app, command)
        return result.exit_code, result.output

    async def json(self, key: SigningKey, *words: str) -> Any:
        code, output = await self.run(key, *words, "--json")
        assert code == 0, output
        return json.loads(output)


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    write_genesis(tmp_path / "genesis.json", GENESIS)
    desk = made_desk(tmp_path)
    socket = SocketServer(desk.service.handle, connections_max=16)
    await socket.listen_unix(tmp_path / "s")
    node = SocketTransport(f"unix:{tmp_path / 's'}")
    rest = RestServer(node, RestOptions(BODY_BYTES_MAX, BODY_BYTES_MAX))
    port = await rest.listen("127.0.0.1", 0, None)
    desk.addresses.add(f"127.0.0.1:{port}")
    yield Asked(tmp_path, desk, f"http://127.0.0.1:{port}")
    await rest.close()
    await node.close()
    await socket.close()
    desk.close()


TRADES = '{"v.type": "trade"}'


async def test_find_tells_the_rows_that_one_may_read_each_proven(asked: Asked) -> None:
    found = await asked.json(ALICE, "find", TRADES, "--prove")
    assert [(row["key"], row["value"]["price"], row["proven"]) for row in found["rows"]] == [
        ("market/trade/1", 7, True)
    ]
    assert (found["height"], found["bookmark"]) == (1, "")
    code, output = await asked.run(OPERATOR, "find", TRADES, "--prove")
    assert (code, output.count("  proven")) == (0, 2)
    assert output.endswith("2 rows as of block 1\n")


async def test_find_goes_on_with_a_bookmark_and_waits_for_a_height(asked: Asked) -> None:
    first = await asked.json(OPERATOR, "find", TRADES, "--limit", "1")
    second = await asked.json(OPERATOR, "find", TRADES, "--limit", "1", "--bookmark", first["bookmark"])
    keys = [row["key"] for page in (first, second) for row in page["rows"]]
    assert (keys, second["bookmark"]) == (["market/trade/1", "market/trade/2"], "")
    waiting = asyncio.create_task(asked.json(OPERATOR, "find", TRADES, "--min-height", "2"))
    asked.desk.plant({"market/trade/3": {"type": "trade", "seller": BOB.signer, "price": 3}})
    found = await waiting
    assert (len(found["rows"]), found["height"]) == (3, 2)


async def test_find_sorts_and_gives_the_fields_that_are_asked_for(asked: Asked) -> None:
    for sort, prices in (("v.price", [1, 7]), ("v.type:desc,v.price:desc", [7, 1])):
        found = await asked.json(OPERATOR, "find", TRADES, "--sort", sort, "--fields", "v.price,v.type", "--prove")
        assert [row["value"] for row in found["rows"]] == [{"price": price, "type": "trade"} for price in prices]


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["--sort", "v.price:down"], 2, "--sort: 'v.price:down' is not FIELD, FIELD:asc or FIELD:desc"),
        (["--sort", "v.price:"], 2, "--sort"),
        (["--sort", "v.price,v.type:desc"], 1, "SELECTOR_INVALID: sort: up to 4 objects of one field each, all in one"),
        (["--sort", "v price"], 1, "SELECTOR_INVALID: 'v price' is no field name"),
        (["--fields", "v.price,"], 1, "SELECTOR_INVALID: '' is no field name"),
    ],
)
async def test_what_is_no_sort_or_field_is_told(asked: Asked, words: list[str], code: int, why: str) -> None:
    ended, output = await asked.run(OPERATOR, "find", TRADES, *words)
    assert (ended, why in output) == (code, True), output


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e400", "99999999999999999999"])
async def test_a_number_that_is_none_is_told_over_the_socket_and_over_rest(asked: Asked, number: str) -> None:
    """JSON would have made null of some, which means another question."""
    for selector in (f'{{"v.price": {number}}}', f'{{"v.price": {{"$in": [1, {number}]}}}}'):
        for node in (f"unix:{asked.home / 's'}", asked.url):
            code, output = await asked.run(OPERATOR, "find", selector, "--node", node)
            assert (code, "SELECTOR_INVALID" in output) == (1, True), output
    headers = {"Authorization": f"Bearer {await asked.desk.token(OPERATOR)}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession(asked.url, headers=headers) as session,
        session.post("/v1/query", data=f'{{"selector": {{"v.price": {number}}}}}') as answer,
    ):
        assert answer.status == 400, await answer.text()
    params = methods.QueryParams(selector={"v.price": float(number)})
    with pytest.raises(Refused, match="SELECTOR_INVALID"):
        await asked.desk.service.handle("query", params, await asked.desk.token(OPERATOR))


async def test_what_is_refused_or_malformed_has_an_exit_code_of_its_own(asked: Asked) -> None:
    for code, selector in (
        (1, json.dumps({"_id": f"credit/account/{ALICE.signer}"})),
        (1, '{"v.type": {"$regex": "x"}}'),
        (2, "{"),
        (2, "[]"),
    ):
        assert (await asked.run(BOB, "find", selector))[0] == code, selector
    assert (await asked.run(SigningKey.generate(), "find", "{}"))[0] == 1, "nobody vouched for that key"
    assert (await asked.run(BOB, "find", "{}", "--key", "none.key"))[0] == 2


async def test_history_values_and_proofs_of_a_key(asked: Asked) -> None:
    key = "market/trade/1"
    made = asked.desk.plant({key: {"type": "trade", "seller": ALICE.signer, "price": 8}})
    asked.desk.certify(2)
    told = await asked.json(ALICE, "history", key)
    assert [(each["height"], each["value"]["price"]) for each in told["versions"]] == [(2, 8), (1, 7)]
    assert told["versions"][0]["tx_id"] == made.tx_id.hex()
    assert (await asked.json(ALICE, "value", key, "--height", "1"))["version"]["value"]["price"] == 7
    out = asked.home / "proof.json"
    told = await asked.json(ALICE, "proof", key, "--out", str(out), "--min-height", "2")
    assert (told["valid"], told["height"], told["value"]["price"]) == (True, 2, 8)
    code, output = verify(asked.home, await asyncio.to_thread(out.read_text))
    assert (code, "written in block 2" in output) == (0, True)
    assert (await asked.run(BOB, "value", f"credit/account/{ALICE.signer}", "--height", "1"))[0] == 1


async def test_rows_are_proven_over_the_sdk_and_over_rest(asked: Asked) -> None:
    async with AsyncClient([connect(asked.url)], GENESIS, ALICE) as client:
        rows = await client.documents(methods.TRADES, prove=True)
        assert [(row.key, row.unproven, row.proof is not None) for row in rows.rows] == [("market/trade/1", "", True)]
        assert (await client.query({"v.type": "trade"}, prove=True)).rows == rows.rows
    headers = {"Authorization": f"Bearer {await asked.desk.token(ALICE)}"}
    async with aiohttp.ClientSession(asked.url, headers=headers) as session:
        for path in ("/v1/trades?prove=true", "/v1/trades?prove=true&interval=5&min_height=1"):
            async with session.get(path) as answer:
                found = msgspec.json.decode(await answer.read(), type=Rows)
            assert [row.key for row in found.rows] == ["market/trade/1"]
            check_rows(found, GENESIS)
        async with session.get("/v1/trades") as answer:
            assert "anchor" not in await answer.json()
