"""Bad input from people, clients and replicas: a typed error, nothing changed, nobody stopped, no view changed."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from network import Network, Person

from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from ledger.receipts import receipt_from_json, verify_receipt
from sdk import methods
from sdk.admission import application_of
from sdk.client import Signed
from sdk.errors import Refused
from sdk.methods import SubmitParams
from sdk.transports import connect

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]

JSON = {"Content-Type": "application/json"}
ASK_WH = 500
PRICE = 200_000


class Market:
    """A running network with a seller, a buyer and an open listing."""

    def __init__(self, network: Network, anna: Person, dora: Person, interval: int, listing: str) -> None:
        self.network = network
        self.anna = anna
        self.dora = dora
        self.interval = interval
        self.listing = listing

    async def refused(self, person: Person, function: str, args: dict[str, Any], **options: Any) -> str:
        """The code with which a call is refused."""
        contract, _, name = function.partition(".")
        with pytest.raises(Refused) as caught:
            await person.invoke(contract, name, args, **options)
        assert caught.value.message
        return caught.value.code


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Market]:
    network = Network(tmp_path_factory.mktemp("bad") / "net")
    try:
        await network.start()
        anna, dora = await network.admit("anna", "seller", 1), await network.admit("dora", "buyer", 2)
        interval = await network.interval()
        offer = {"meter": "M-anna", "interval": interval, "energy_wh": ASK_WH, "price": PRICE, "lot_wh": 100}
        listing = (await anna.invoke("market", "post_listing", offer)).value
        yield Market(network, anna, dora, interval, listing)
        status = await network.operator.client.status()
        assert status.view == 0, "no bad input changes a view"
        await network.agree()
    finally:
        await network.close()


async def send(market: Market, signed: Signed) -> str:
    """Submit an envelope as it stands; the code with which it is refused."""
    node = connect(market.network.cluster.rest_url("node1"))
    try:
        params = SubmitParams(payload=signed.payload, signatures=signed.signatures)
        with pytest.raises(Refused) as caught:
            await node.call(methods.SUBMIT, params)
        assert 400 <= caught.value.status < 500
        return caught.value.code
    finally:
        await node.close()


def resigned(person: Person, text: str) -> Signed:
    data = text.encode()
    signature = methods.SignatureText(public_key=person.key.public_key, signature=person.key.sign(data))
    return Signed(text, (signature,))


async def changed(market: Market, change: Callable[[dict[str, Any]], Any]) -> Signed:
    """A lawful order of dora's, with something in its payload changed before signing."""
    signed = await market.dora.client.sign(
        "market", "take_listing", {"listing": market.listing, "meter": "M-dora", "energy_wh": 100, "price_max": PRICE}
    )
    payload = json.loads(signed.payload)
    change(payload)
    return resigned(market.dora, json.dumps(payload))


async def test_wrong_signature(market: Market) -> None:
    signed = await market.dora.client.sign(
        "market", "take_listing", {"listing": market.listing, "meter": "M-dora", "energy_wh": 100, "price_max": PRICE}
    )
    assert await send(market, Signed(signed.payload.replace(":100", ":200"), signed.signatures)) == "SIGNATURE_INVALID"


@pytest.mark.row(14)
@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("chain", "0" * 64, "WRONG_CHAIN"),
        ("channel", "other", "WRONG_CHANNEL"),
        ("expires_at_height", 0, "EXPIRED"),
        ("nonce", 100_000, "NONCE_OUT_OF_WINDOW"),
        ("nonce", 0, "NONCE_USED"),
        ("nonce", -1, "PAYLOAD_INVALID"),
        ("gas_limit", 10**9, "GAS_LIMIT_TOO_HIGH"),
        ("contract", "nowhere", "CONTRACT_UNKNOWN"),
        ("function", "nothing", "FUNCTION_UNKNOWN"),
        ("function", "close_gate", "NOT_CALLABLE"),
        ("v", 2, "PAYLOAD_INVALID"),
        ("extra", 1, "PAYLOAD_INVALID"),
        ("args", {"energy_wh": 1.5}, "PAYLOAD_INVALID"),
        ("args", {"energy_wh": 2**53}, "PAYLOAD_INVALID"),
        ("args", [], "PAYLOAD_INVALID"),
    ],
)
async def test_payloads_that_are_refused(market: Market, field: str, value: Any, code: str) -> None:
    assert await send(market, await changed(market, lambda payload: payload.update({field: value}))) == code


async def test_duplicate_keys_and_malformed_json(market: Market) -> None:
    signed = await changed(market, lambda payload: None)
    twice = signed.payload.replace('{"v": 1', '{"v": 1, "v": 1')
    assert await send(market, resigned(market.dora, twice)) == "PAYLOAD_INVALID"
    for text in ("", "{", "null", "[" * 2_000, '{"v": NaN}', "\ufeff" + signed.payload):
        assert await send(market, resigned(market.dora, text)) in ("PAYLOAD_INVALID", "SIGNERS_MISMATCH")


async def test_strangers_roles_and_other_peoples_things(market: Market) -> None:
    stranger = Person("mallory", SigningKey.generate(), market.network.client(0, SigningKey.generate()))
    take = {"listing": market.listing, "meter": "M-dora", "energy_wh": 100, "price_max": PRICE}
    try:
        assert await market.refused(stranger, "market.take_listing", take) == "NOT_REGISTERED"
    finally:
        await stranger.client.close()
    assert await market.refused(market.anna, "market.take_listing", take) == "ROLE_REQUIRED"
    assert await market.refused(market.dora, "market.cancel_listing", {"listing": market.listing}) == "ROLE_REQUIRED"
    deposit = {"account": market.dora.key.signer, "amount": 1}
    assert await market.refused(market.dora, "credit.deposit", deposit) == "ROLE_REQUIRED"
    assert await market.refused(market.network.operator, "credit.deposit", deposit) == "TWO_OPERATORS"


async def test_amounts_and_terms(market: Market) -> None:
    bid = {
        "side": "bid",
        "meter": "M-dora",
        "interval": market.interval,
        "energy_wh": 10,
        "price": PRICE,
        "execution": "limit",
    }
    cases: list[tuple[dict[str, Any], str]] = [
        ({**bid, "energy_wh": -1}, "ENERGY_INVALID"),
        ({**bid, "energy_wh": 0}, "ENERGY_INVALID"),
        ({**bid, "price": 2**50}, "PRICE_INVALID"),
        ({**bid, "price": "1"}, "ARGUMENTS_INVALID"),
        ({**bid, "interval": 1}, "INTERVAL_CLOSED"),
        ({**bid, "interval": 2**40}, "INTERVAL_TOO_FAR"),
        ({**bid, "side": "both"}, "SIDE_INVALID"),
        ({**bid, "meter": "M-anna"}, "NOT_YOUR_METER"),
        ({**bid, "energy_wh": 10**9, "price": 10**9}, "INSUFFICIENT_FUNDS"),
        ({"side": "bid"}, "ARGUMENTS_INVALID"),
    ]
    for args, code in cases:
        assert await market.refused(market.dora, "market.place_order", args) == code, args
    take = {"listing": market.listing, "meter": "M-dora", "energy_wh": ASK_WH + 1, "price_max": PRICE}
    assert await market.refused(market.dora, "market.take_listing", take) == "NOT_ENOUGH_LEFT"
    assert await market.refused(market.dora, "market.take_listing", {**take, "energy_wh": 150}) == "LOT_MISMATCH"
    assert await market.refused(market.dora, "market.take_listing", {**take, "listing": "none"}) == "NOT_FOUND"


@pytest.mark.parametrize("wait", ["committed", "certified", "certificate"])
@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"interval": 1}, 422, "INTERVAL_CLOSED"),
        ({"energy_wh": -1}, 422, "ENERGY_INVALID"),
        ({"energy_wh": 10**9, "price": 10**9}, 422, "INSUFFICIENT_FUNDS"),
        ({"meter": "M-anna"}, 403, "NOT_YOUR_METER"),
        ({"listing": "none", "energy_wh": 100}, 422, "NOT_FOUND"),
        ({"energy_wh": ASK_WH + 1}, 409, "NOT_ENOUGH_LEFT"),
    ],
    ids=lambda value: str(value),
)
async def test_what_the_contract_refuses_is_no_success_for_http(
    market: Market, wait: str, change: dict[str, Any], status: int, code: str
) -> None:
    bid = {
        "side": "bid",
        "meter": "M-dora",
        "interval": market.interval,
        "energy_wh": 10,
        "price": PRICE,
        "execution": "limit",
    }
    take = {"listing": market.listing, "meter": "M-dora", "energy_wh": 100, "price_max": PRICE}
    function, args = ("take_listing", take) if code in ("NOT_FOUND", "NOT_ENOUGH_LEFT") else ("place_order", bid)
    signed = await market.dora.client.sign("market", function, {**args, **change})
    texts = [{"public_key": item.public_key, "signature": item.signature} for item in signed.signatures]
    body = msgspec.json.encode({"payload": signed.payload, "signatures": texts, "wait": wait})
    url = f"{market.network.cluster.rest_url('node2')}/v1/transactions"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=JSON) as response:
        assert (response.status, response.content_type) == (status, "application/problem+json")
        document = await response.json(content_type=None)
    assert (document["code"], document["detail"][-1]) == (code, ".")
    assert document["tx_id"] == sha256(signed.payload.encode()).hexdigest()
    assert document["height"] > 0
    if wait == "certificate":
        verified = verify_receipt(receipt_from_json(document["receipt"]), market.network.genesis)
        assert (verified.code, verified.tx_id, verified.height) == (code, document["tx_id"], document["height"])


async def test_the_command_says_what_the_chain_proves(market: Market, tmp_path: Path) -> None:
    cleo = await market.network.admit("cleo", "buyer", 1)
    cleo.key.save(tmp_path / "cleo.key")
    args = {"side": "bid", "meter": "M-cleo", "interval": 1, "energy_wh": 10, "price": PRICE, "execution": "limit"}
    directory = market.network.cluster.directory
    command = ["tx", "submit", "market.place_order", json.dumps(args), "--key", str(tmp_path / "cleo.key")]
    command += ["--node", market.network.cluster.rest_url("node1"), "--genesis", str(directory / "genesis.json")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert (process.returncode, output.decode().splitlines()[-1]) == (
        1,
        "wattq tx: INTERVAL_CLOSED: The gate of this interval has closed.",
    )


async def test_the_socket_carries_a_failure_with_its_receipt(market: Market) -> None:
    signed = await market.dora.client.sign(
        "market", "take_listing", {"listing": "none", "meter": "M-dora", "energy_wh": 100, "price_max": PRICE}
    )
    node = connect(f"unix:{market.network.cluster.home('node3') / 'node.sock'}")
    try:
        with pytest.raises(Refused) as caught:
            await node.call(methods.SUBMIT, SubmitParams(payload=signed.payload, signatures=signed.signatures))
    finally:
        await node.close()
    taken = caught.value.problem.submission
    assert (caught.value.code, caught.value.status) == ("NOT_FOUND", 422)
    assert taken is not None
    verified = verify_receipt(receipt_from_json(taken.receipt), market.network.genesis)
    assert (verified.code, verified.tx_id) == ("NOT_FOUND", caught.value.tx_id)


async def test_a_refused_transaction_changes_nothing_but_its_nonce(market: Market) -> None:
    before = (await market.dora.client.account()).value
    take = {"listing": market.listing, "meter": "M-dora", "energy_wh": ASK_WH + 1, "price_max": PRICE}
    await market.refused(market.dora, "market.take_listing", take)
    assert (await market.dora.client.account()).value == before


@pytest.mark.row(16)
async def test_taking_from_a_seller_since_suspended_or_revoked(market: Market) -> None:
    network = market.network
    bob = await network.admit("bob", "seller", 3)
    offer = {"meter": "M-bob", "interval": market.interval, "energy_wh": 100, "price": PRICE, "lot_wh": 10}
    listing = (await bob.invoke("market", "post_listing", offer)).value
    take = {"listing": listing, "meter": "M-dora", "energy_wh": 10, "price_max": PRICE}
    await network.operator.invoke("registry", "suspend", {"user": bob.key.signer, "reason": "test"})
    assert await market.refused(market.dora, "market.take_listing", take) == "SUSPENDED"
    assert await market.refused(bob, "market.post_listing", offer) == "SUSPENDED"
    await network.operator.invoke("registry", "resume", {"user": bob.key.signer})
    serial = next(i.serial for i in Authority.open(network.cluster.directory / "ca").issued() if i.name == "bob")
    revocation = {"serial": serial, "reason": "test"}
    await network.operator.invoke("governance", "revoke", revocation, co_signers=[network.second_operator])
    assert await market.refused(market.dora, "market.take_listing", take) == "CERTIFICATE_REVOKED"
    assert await market.refused(bob, "market.post_listing", offer) == "CERTIFICATE_REVOKED"


async def test_enrolment_with_wrong_codes(market: Market) -> None:
    key = SigningKey.generate()
    request = create_request(key, "eve", "Wattquorum", Role.OPERATOR)
    code = Authority.open(market.network.cluster.directory / "ca").new_admission_code(Role.BUYER, "eve")
    async with market.network.client(0, None) as stranger:
        refused = {
            application_of(request, "wrong"): ("CODE_UNKNOWN", 403),
            application_of(request, code): ("CODE_OTHER_ROLE", 403),
            methods.EnrolParams(request=b"garbage"): ("REQUEST_INVALID", 400),
        }
        for asked, why in refused.items():
            with pytest.raises(Refused) as caught:
                await stranger.call_plain(methods.ENROL, asked)
            assert (caught.value.code, caught.value.status) == why


async def test_reading_what_is_not_yours(market: Market) -> None:
    anna = market.anna.key.signer
    with pytest.raises(Refused) as caught:
        await market.dora.client.account(anna)
    assert (caught.value.code, caught.value.status) == ("NOT_YOURS", 403)
    async with market.network.client(0, None) as stranger:
        with pytest.raises(Refused) as caught:
            await stranger.call(methods.ACCOUNT, methods.SignerParams(signer=anna))
        assert (caught.value.code, caught.value.status) == ("IDENTITY_REQUIRED", 401)
        book = await stranger.book(market.interval)
    assert [listing.listing for listing in book.listings].count(market.listing) == 1
    assert anna not in repr(book)
    seen = await market.dora.client.query({"v.type": "listing"})
    assert seen.rows == ()
    regulator = market.network.person_of("regulator1", 1)
    assert len((await regulator.client.query({"v.type": "listing"})).rows) >= 1


@pytest.mark.parametrize(
    "selector",
    [
        {"$where": "1"},
        {"v.type": {"$regex": ".*"}},
        {"v.type": {}},
        {"a'b": 1},
        {"v.x": {"$in": list(range(200))}},
        {"$or": []},
        {"v.price": 1.5},
    ],
)
async def test_malformed_selectors(market: Market, selector: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        await market.dora.client.query(selector)
    assert caught.value.status == 400


async def test_rest_refuses_what_is_malformed(market: Market) -> None:
    url = market.network.cluster.rest_url("node2")
    async with aiohttp.ClientSession() as session:

        async def problem(verb: str, path: str, **options: Any) -> tuple[int, str]:
            told = {"headers": JSON} if "data" in options else {}
            async with session.request(verb, url + path, **{**told, **options}) as response:
                assert response.content_type == "application/problem+json"
                return response.status, (await response.json(content_type=None))["code"]

        assert await problem("POST", "/v1/transactions", data=b"{") == (400, "PARAMETERS_INVALID")
        assert await problem("POST", "/v1/transactions", data=b"\xff\xfe") == (400, "PARAMETERS_INVALID")
        assert await problem("POST", "/v1/transactions", data=b"x" * 1_000_000) == (413, "BODY_TOO_LARGE")
        assert await problem("GET", "/v1/blocks/-1") == (400, "PARAMETERS_INVALID")
        assert await problem("GET", "/v1/blocks/999999") == (404, "NOT_FOUND")
        assert await problem("GET", "/v1/headers?limit=5&limit=6") == (400, "PARAMETERS_INVALID")
        assert await problem("GET", "/v1/headers?limt=5") == (400, "PARAMETERS_INVALID")
        assert await problem("GET", "/v1/nowhere") == (404, "ROUTE_UNKNOWN")
        assert await problem("DELETE", "/v1/status") == (405, "VERB_NOT_ALLOWED")
        bearer = {"Authorization": "Bearer nonsense"}
        assert await problem("GET", "/v1/trades", headers=bearer) == (401, "SESSION_UNKNOWN")


async def test_a_stranger_with_a_key_of_its_own_making_stops_nobody(market: Market) -> None:
    """Sixty questions for a height that never comes, and the node goes on admitting, serving and proving."""
    key = SigningKey.generate()
    query = methods.QueryParams(selector={}, min_height=2**50)
    async with market.network.client(2, key, failover=False) as stranger:
        asked = [asyncio.create_task(stranger.call(methods.QUERY, query)) for _ in range(60)]
        bid = {
            "side": "bid",
            "meter": "M-dora",
            "interval": market.interval,
            "energy_wh": 1,
            "price": 1_000,
            "execution": "limit",
        }
        await market.dora.invoke("market", "place_order", bid, timeout_s=15.0)
        assert (await stranger.call_plain(methods.HEADERS, methods.HeadersParams())).headers
        told = await asyncio.gather(*asked, return_exceptions=True)
    assert {item.code for item in told if isinstance(item, Refused)} == {"NOT_REGISTERED"}
    assert len([item for item in told if isinstance(item, Refused)]) == 60


def poke(address: tuple[str, int], data: bytes) -> None:
    """Send bytes to a TCP port and wait until the other side has had enough."""
    with socket.create_connection(address, timeout=10) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
        except OSError:
            return


@pytest.mark.row(14)
async def test_garbage_on_every_socket(market: Market) -> None:
    cluster = market.network.cluster
    node = cluster.section("node3")
    garbage = (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(2_000), b"\xff" * 5_000, os.urandom(20_000))
    for port in (node.peer_port, node.client_port, node.rest_port):
        for data in garbage:
            await asyncio.to_thread(poke, (node.host, port), data)
    unix = str(Path(cluster.home("node3")) / "node.sock")
    for data in garbage:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(unix)
            connection.sendall(data)
    status = await cluster.wait_ready("node3")
    assert status.view == 0
    await market.dora.invoke(
        "market",
        "place_order",
        {
            "side": "bid",
            "meter": "M-dora",
            "interval": market.interval,
            "energy_wh": 1,
            "price": 1_000,
            "execution": "limit",
        },
    )


async def test_a_certificate_of_another_ca(market: Market, tmp_path: Path) -> None:
    key = SigningKey.generate()
    other = Authority.init(tmp_path / "other", "Elsewhere")
    request = create_request(key, "eve", "Elsewhere", Role.BUYER)
    certificate = base64.b64encode(other.issue(request, "eve", "Elsewhere", Role.BUYER).certificate_der).decode()
    eve = Person("eve", key, market.network.client(1, key))
    try:
        args = {"certificate_der": certificate}
        assert await market.refused(eve, "registry.register", args) == "CERTIFICATE_INVALID"
        assert await market.refused(eve, "registry.register", {"certificate_der": "!"}) == "CERTIFICATE_INVALID"
    finally:
        await eve.client.close()


async def test_a_batch_of_good_and_bad_is_answered_line_by_line(market: Market) -> None:
    """And a repeated call under one key is one transaction, with the same answer."""

    async def bid(price: int) -> Signed:
        order = {"side": "bid", "meter": "M-dora", "interval": market.interval, "energy_wh": 1, "execution": "limit"}
        return await market.dora.client.sign("market", "place_order", {**order, "price": price})

    def line(signed: Signed) -> bytes:
        texts = [{"public_key": item.public_key, "signature": item.signature} for item in signed.signatures]
        return msgspec.json.encode({"payload": signed.payload, "signatures": texts})

    first, second, third = await bid(1_001), await bid(1_002), await bid(1_003)
    forged = Signed(second.payload.replace("1002", "1009"), second.signatures)
    body = b"\n".join([line(first), line(forged), b"{}", line(second), line(first)])
    url = f"{market.network.cluster.rest_url('node2')}/v1/transactions"
    async with aiohttp.ClientSession() as session:
        async with session.post(
            url + "/batch", data=body, headers={"Content-Type": "application/x-ndjson"}
        ) as response:
            answers = [json.loads(text) async for text in response.content]
        told = [each["result"]["tx_id"] if "result" in each else each["problem"]["code"] for each in answers]
        ids = [sha256(each.payload.encode()).hexdigest() for each in (first, second)]
        assert told == [ids[0], "SIGNATURE_INVALID", "PARAMETERS_INVALID", ids[1], ids[0]]
        for answer, signed in ((answers[0], first), (answers[3], second)):
            receipt = receipt_from_json(answer["result"]["receipt"])
            assert verify_receipt(receipt, market.network.genesis).payload == signed.payload.encode()
        seen = []
        for _ in range(2):
            headers = {**JSON, "Idempotency-Key": "one-of-doras"}
            async with session.post(url, data=line(third), headers=headers) as response:
                assert response.status == 200
                seen.append((response.headers.get("Idempotent-Replay"), await response.read()))
    assert [each[0] for each in seen] == [None, "true"]
    assert seen[0][1] == seen[1][1]
