"""The client of S41 to S45: done only at a verified quorum; a node can delay it, never deceive it."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ledgers import ALICE, BOB, GENESIS, certificate_of, envelope, make_genesis, open_ledger, run_block

from ca.signatures import verify
from ledger import receipts
from ledger.certificates import check_certificate
from ledger.envelope import envelope_from_text, parse_payload
from ledger.ledger import Ledger
from ledger.receipts import receipt_to_json
from sdk import client as client_module
from sdk import methods
from sdk.client import EXPIRY_BLOCKS, AsyncClient, Signed, fetch_genesis, session_text
from sdk.errors import Problem, Refused, TransportError, Unavailable
from sdk.methods import Method, P, R, Submission, SubmitParams
from sdk.streams import StreamParams
from sdk.transports import ANSWER_TIMEOUT_S

Answer = Callable[[Any, str], Any]


class FakeNode:
    """A transport that answers by a table, and remembers what it was asked."""

    vouched = False

    def __init__(self, endpoint: str, **answers: Any) -> None:
        self.endpoint = endpoint
        self.answers: dict[str, Any] = {"nonce": methods.NonceState("", -1), "status": _status(), **answers}
        self.asked: list[tuple[str, Any, str]] = []
        self.channels: list[str] = []
        self.closed = False

    async def call(self, method: Method[P, R], params: P, token: str = "", timeout_s: float = ANSWER_TIMEOUT_S) -> R:
        self.asked.append((method.name, params, token))
        self.channels.append(method.channel)
        answer = self.answers.get(method.name, TransportError(f"{self.endpoint}: no answer"))
        if callable(answer):
            answer = answer(params, token)
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        result: R = answer
        return result

    async def stream(self, params: StreamParams, token: str = "", channel: str = "") -> AsyncGenerator[Any]:
        for event in self.answers.get("stream", ()):
            yield (event,)

    async def close(self) -> None:
        self.closed = True

    def names(self) -> list[str]:
        return [name for name, _, _ in self.asked]


def _status() -> methods.NodeStatus:
    return methods.NodeStatus(
        "node1", 0, "0", GENESIS.chain_id.hex(), "main", 0, True, "node1", 7, 7, "", 0, 7, 0, (), {}, ()
    )


def refusal(code: str, status: int = 422) -> Refused:
    return Refused(Problem(code, "A sentence.", status))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "BACKOFF_S", 0.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    opened = open_ledger(tmp_path)
    yield opened
    opened.close()


def commits(ledger: Ledger, senders: tuple[int, ...] = (0, 1, 2)) -> Answer:
    """A node that orders what it gets at once, with a certificate of ``senders``."""

    def answer(params: SubmitParams, _: str) -> Submission:
        made = envelope_from_text(params.payload, [(item.public_key, item.signature) for item in params.signatures])
        made.verify()
        if not ledger.has(made.tx_id):
            run_block(ledger, made)
        ledger.certify([certificate_of(ledger.block(ledger.height).statement, senders)])
        receipt = ledger.receipt(made.tx_id)
        assert receipt is not None
        return Submission(made.tx_id.hex(), "certified", receipt=receipt_to_json(receipt))

    return answer


def client_of(*nodes: FakeNode, key: Any = ALICE) -> AsyncClient:
    return AsyncClient(nodes, GENESIS, key)


ARGS = {"key": "a", "value": 5}


async def test_a_transaction_is_done_at_a_verified_receipt(ledger: Ledger) -> None:
    node = FakeNode("one", submit=commits(ledger))
    outcome = await client_of(node).invoke("box", "put", ARGS)
    assert (outcome.height, outcome.code, outcome.value, outcome.index) == (1, "OK", 5, 0)
    assert outcome.receipt_json == receipt_to_json(outcome.receipt)
    (params,) = [params for name, params, _ in node.asked if name == "submit"]
    payload = parse_payload(params.payload.encode())
    assert (payload.nonce, payload.expires_at_height, payload.signers) == (0, 7 + EXPIRY_BLOCKS, (ALICE.signer,))
    assert params.wait == "certificate"


async def test_co_signers_sign_the_same_bytes_after_the_caller() -> None:
    signed = await client_of(FakeNode("one")).sign("box", "put", ARGS, co_signers=[BOB])
    assert parse_payload(signed.payload.encode()).signers == (ALICE.signer, BOB.signer)
    for key, item in zip((ALICE, BOB), signed.signatures, strict=True):
        assert verify(key.public_key, item.signature, signed.payload.encode())


def forged(answer: Answer, change: Callable[[dict[str, Any]], None]) -> Answer:
    def forging(params: SubmitParams, token: str) -> Submission:
        submission: Submission = answer(params, token)
        assert submission.receipt is not None
        change(submission.receipt)
        return submission

    return forging


FORGERIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "too few signatures": lambda receipt: receipt["certificate"][2].pop(),
    "one validator twice": lambda receipt: receipt["certificate"][2].__setitem__(2, receipt["certificate"][2][1]),
    "a result it likes better": lambda receipt: receipt["result"].__setitem__(1, "NO"),
    "another value": lambda receipt: receipt["result"].__setitem__(4, "Bg=="),
    "another state": lambda receipt: receipt["certificate"][1].__setitem__(2, "A" * 43 + "="),
    "a height beyond 64 bits": lambda receipt: receipt["header"].__setitem__(3, 2**70),
    "half a surrogate": lambda receipt: receipt["result"].__setitem__(1, "\ud800"),
    "half a receipt": lambda receipt: receipt.pop("header"),
    "no receipt": lambda receipt: receipt.clear(),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forged_answer_is_not_accepted_and_another_node_is_asked(ledger: Ledger, forgery: str) -> None:
    good = commits(ledger)
    liar = FakeNode("liar", submit=forged(good, FORGERIES[forgery]))
    honest = FakeNode("honest", submit=good)
    outcome = await client_of(liar, honest).invoke("box", "put", ARGS)
    assert (outcome.code, outcome.value) == ("OK", 5)
    assert liar.names().count("submit") == honest.names().count("submit") == 1
    assert liar.asked[-1][1].payload == honest.asked[-1][1].payload


async def test_only_liars_bring_no_outcome_however_often_they_say_it(ledger: Ledger) -> None:
    liar = FakeNode("liar", submit=commits(ledger, senders=(0, 1)))
    client = client_of(liar)
    signed = await client.sign("box", "put", ARGS)
    with pytest.raises(Unavailable, match="lies: certificate: 2 of 3 signatures") as caught:
        await client.submit(signed, timeout_s=0.05)
    assert caught.value.tx_id == sha256(signed.payload.encode()).hexdigest()
    assert liar.names().count("submit") > 1


async def test_the_receipt_of_another_transaction_is_no_answer(ledger: Ledger) -> None:
    good = commits(ledger)
    client = client_of(FakeNode("one", submit=good))
    first = await client.submit(await client.sign("box", "put", ARGS))
    replayed = Submission(first.tx_id, "certified", receipt=first.receipt_json)
    liar, honest = FakeNode("liar", submit=replayed), FakeNode("honest", submit=good)
    outcome = await client_of(liar, honest).submit(await client.sign("box", "put", {"key": "b", "value": 6}))
    assert outcome.value == 6


async def test_a_receipt_of_another_network_is_no_answer(ledger: Ledger) -> None:
    client = AsyncClient([FakeNode("one", submit=commits(ledger))], make_genesis(network="other"), ALICE)
    signed = await client_of(FakeNode("one")).sign("box", "put", ARGS)
    with pytest.raises(Unavailable, match="other chain"):
        await client.submit(signed, timeout_s=0.02)


async def test_a_proven_failure_is_refused_with_its_transaction(ledger: Ledger) -> None:
    with pytest.raises(Refused, match="The box says no") as caught:
        await client_of(FakeNode("one", submit=commits(ledger))).invoke("box", "fail", {})
    assert caught.value.code == "NO"
    assert ledger.has(bytes.fromhex(caught.value.tx_id))


@pytest.mark.parametrize(
    "trouble",
    [
        TransportError("gone"),
        refusal("POOL_FULL", 503),
        refusal("TOO_MANY", 429),
        refusal("INTERNAL_ERROR", 500),
        refusal("NO_QUORUM_YET", 504),
        Submission("x", "accepted"),
        Submission("x", "committed", 1, 0, "OK"),
    ],
    ids=str,
)
async def test_the_same_bytes_go_to_the_next_node_in_trouble(ledger: Ledger, trouble: Any) -> None:
    bad, good = FakeNode("bad", submit=trouble), FakeNode("good", submit=commits(ledger))
    outcome = await client_of(bad, good).invoke("box", "put", ARGS)
    assert outcome.code == "OK"
    assert bad.asked[-1][1].payload == good.asked[-1][1].payload
    assert bad.asked[-1][1].signatures == good.asked[-1][1].signatures


async def test_the_only_node_that_a_client_knows_is_believed() -> None:
    node = FakeNode("one", submit=refusal("NOT_REGISTERED"))
    with pytest.raises(Refused, match="NOT_REGISTERED"):
        await client_of(node).invoke("box", "put", ARGS)
    assert node.names().count("submit") == 1


async def test_a_lying_refusal_ends_nothing(ledger: Ledger) -> None:
    liar, honest = FakeNode("liar", submit=refusal("SUSPENDED", 403)), FakeNode("honest", submit=commits(ledger))
    assert (await client_of(liar, honest).invoke("box", "put", ARGS)).code == "OK"


async def test_f_plus_one_nodes_that_refuse_alike_are_believed() -> None:
    nodes = [FakeNode(str(n), submit=refusal("NOT_REGISTERED", 403)) for n in range(4)]
    with pytest.raises(Refused, match="NOT_REGISTERED") as caught:
        await client_of(*nodes).invoke("box", "put", ARGS)
    assert caught.value.status == 403
    assert [node.names().count("submit") for node in nodes] == [1, 1, 0, 0]


async def test_one_node_that_says_it_twice_is_one_node_and_two_codes_are_not_alike() -> None:
    nodes = [FakeNode("one", submit=refusal("NO")), FakeNode("two", submit=refusal("SUSPENDED", 403))]
    nodes.append(FakeNode("three"))
    client = client_of(*nodes)
    signed = await client.sign("box", "put", ARGS)
    with pytest.raises(Unavailable, match=r"refused without proof: NO by one; SUSPENDED by two") as caught:
        await client.submit(signed, timeout_s=0.05)
    assert caught.value.tx_id == sha256(signed.payload.encode()).hexdigest()
    assert nodes[0].names().count("submit") > 1


def failing(answer: Answer, code: str = "NO", status: int = 422) -> Answer:
    """A node that answers as one does that executed a transaction which failed."""

    def refusing(params: SubmitParams, token: str) -> Submission:
        raise Refused(Problem(code, "A sentence.", status, answer(params, token)))

    return refusing


async def test_a_failure_with_its_receipt_is_refused_at_once_with_what_is_proven(ledger: Ledger) -> None:
    nodes = [FakeNode("one", submit=failing(commits(ledger), "ANOTHER", 403)), FakeNode("two")]
    with pytest.raises(Refused, match=r"NO: The box says no\.") as caught:
        await client_of(*nodes).invoke("box", "fail", {})
    assert (caught.value.status, ledger.has(bytes.fromhex(caught.value.tx_id))) == (422, True)
    assert caught.value.problem.submission is not None
    assert caught.value.problem.submission.receipt is not None
    assert "submit" not in nodes[1].names()


def refuses_in_a_block(directory: Path) -> Answer:
    """A node that orders what it gets where its nonce has been used, and proves just that."""

    def answer(params: SubmitParams, token: str) -> Submission:
        ledger = open_ledger(directory)
        payload = parse_payload(params.payload.encode())
        run_block(ledger, envelope(ALICE, nonce=payload.nonce))
        told: Submission = commits(ledger)(params, token)
        ledger.close()
        shutil.rmtree(directory)
        return told

    return failing(answer, "NONCE_USED", 409)


async def test_a_receipt_of_a_refusal_is_no_more_than_one_node_s_word(ledger: Ledger, tmp_path: Path) -> None:
    """Found by the soak: a request that was ordered twice executed the first time; a node that had no such block gave
    the receipt of the second time, NONCE_USED, and a client took for failed what had happened."""
    refuses = refuses_in_a_block(tmp_path / "other")
    nodes = [FakeNode("late", submit=refuses), FakeNode("whole", submit=commits(ledger)), *map(FakeNode, "cd")]
    assert (await client_of(*nodes).invoke("box", "put", ARGS)).code == "OK"
    nodes = [FakeNode(name, submit=refuses) for name in "abcd"]
    with pytest.raises(Refused, match="NONCE_USED") as caught:
        await client_of(*nodes).invoke("box", "put", ARGS)
    assert caught.value.status == 409
    assert [node.names().count("submit") for node in nodes] == [1, 1, 0, 0]


async def test_a_refusal_whose_receipt_proves_success_is_success(ledger: Ledger) -> None:
    assert (await client_of(FakeNode("one", submit=failing(commits(ledger)))).invoke("box", "put", ARGS)).code == "OK"


async def test_a_failure_with_a_forged_receipt_is_a_lie(ledger: Ledger) -> None:
    good = commits(ledger)
    liar = FakeNode("liar", submit=failing(forged(good, FORGERIES["a result it likes better"])))
    outcome = await client_of(liar, FakeNode("honest", submit=good)).invoke("box", "put", ARGS)
    assert outcome.code == "OK"


async def test_no_quorum_yet_is_asked_again_until_ones_own_time_is_up(ledger: Ledger) -> None:
    def late(params: SubmitParams, _: str) -> Submission:
        tx_id = sha256(params.payload.encode()).hexdigest()
        raise Refused(Problem("NO_QUORUM_YET", "Not yet.", 504, Submission(tx_id, "accepted")))

    node = FakeNode("one", submit=late)
    client = client_of(node)
    signed = await client.sign("box", "put", ARGS)
    with pytest.raises(Unavailable, match="NO_QUORUM_YET") as caught:
        await client.submit(signed, timeout_s=0.05)
    assert caught.value.tx_id == sha256(signed.payload.encode()).hexdigest()
    assert node.names().count("submit") > 1
    node.answers["submit"] = commits(ledger)
    assert (await client.submit(signed)).code == "OK"


async def test_a_blocks_certificate_is_checked_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[int] = []

    def counted(certificate: Any, genesis: Any, epoch: Any) -> None:
        checked.append(certificate.statement.height)
        check_certificate(certificate, genesis, epoch)

    monkeypatch.setattr(receipts, "check_certificate", counted)
    node = FakeNode("one", submit=commits(ledger))
    client = client_of(node)
    signed = [await client.sign("box", "put", ARGS) for _ in range(2)]
    for item in (signed[0], signed[0], signed[1], signed[1]):
        await client.submit(item)
    assert checked == [1, 2]
    node.answers["submit"] = forged(commits(ledger), FORGERIES["too few signatures"])
    with pytest.raises(Unavailable, match="2 of 3 signatures"):
        await client.submit(signed[1], timeout_s=0.02)


async def test_a_node_that_answered_is_asked_first_the_next_time(ledger: Ledger) -> None:
    bad, good = FakeNode("bad", submit=TransportError("gone")), FakeNode("good", submit=commits(ledger))
    client = client_of(bad, good)
    await client.invoke("box", "put", ARGS)
    await client.invoke("box", "put", ARGS)
    assert bad.names().count("submit") == 1


# ------------------------------------------------------------------------------------------------- nonces


def nonce_of(signed: Signed) -> int:
    nonce: int = json.loads(signed.payload)["nonce"]
    return nonce


async def test_nonces_go_on_from_the_highest_used_one_and_are_asked_for_once() -> None:
    node = FakeNode("one", nonce=methods.NonceState(ALICE.signer, 41))
    client = client_of(node)
    assert [nonce_of(await client.sign("box", "put", ARGS)) for _ in range(3)] == [42, 43, 44]
    assert node.names().count("nonce") == 1


async def test_transactions_signed_at_once_have_different_nonces() -> None:
    client = client_of(FakeNode("one"))
    signed = await asyncio.gather(*(client.sign("box", "put", ARGS) for _ in range(20)))
    assert sorted(map(nonce_of, signed)) == list(range(20))


async def test_a_chosen_nonce_and_expiry_are_taken_as_they_are() -> None:
    node = FakeNode("one")
    signed = await client_of(node).sign("box", "put", ARGS, nonce=9, expires_at_height=77)
    payload = parse_payload(signed.payload.encode())
    assert (payload.nonce, payload.expires_at_height, node.asked) == (9, 77, [])


@pytest.mark.parametrize(
    ("code", "told", "expected"),
    [
        ("NONCE_OUT_OF_WINDOW", [5_000, -1], 0),
        ("NONCE_USED", [-1, 41], 42),
        ("NONCE_USED", [41, 3], 43),
        ("NO", [7, 0], 9),
    ],
)
async def test_after_a_refused_nonce_the_chain_is_asked_again(code: str, told: list[int], expected: int) -> None:
    """Somebody else signs with the same key, or a node has lied about the highest nonce."""
    states = [methods.NonceState(ALICE.signer, highest) for highest in told]
    client = client_of(FakeNode("one", nonce=states, submit=refusal(code)))
    with pytest.raises(Refused, match=code):
        await client.invoke("box", "put", ARGS)
    assert nonce_of(await client.sign("box", "put", ARGS)) == expected


def told(name: str, nonce: Any, height: int = 7) -> FakeNode:
    """A node that says so."""
    status = msgspec.structs.replace(_status(), executed_height=height)
    state = methods.NonceState(ALICE.signer, nonce) if isinstance(nonce, int) else nonce
    return FakeNode(name, nonce=state, status=status)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("lie", [(10**9, 10**9), (-1, 0)], ids=["high", "low"])
async def test_one_liar_among_four_has_no_say_in_what_is_signed(place: int, lie: tuple[int, int]) -> None:
    nodes = [told(str(number), 41, 1_000) for number in range(3)]
    nodes.insert(place, told("liar", *lie))
    payload = parse_payload((await client_of(*nodes).sign("box", "put", ARGS)).payload.encode())
    assert (payload.nonce, payload.expires_at_height) == (42, 1_000 + EXPIRY_BLOCKS)


async def test_nodes_that_do_not_answer_have_none_either() -> None:
    gone = [TransportError("gone"), refusal("TOO_BUSY", 503)]
    nodes = [*(told(str(number), fault) for number, fault in enumerate(gone)), told("two", 41), told("three", 41)]
    assert nonce_of(await client_of(*nodes).sign("box", "put", ARGS)) == 42
    with pytest.raises(TransportError, match="gone"):
        await client_of(*(told(str(number), gone[0]) for number in range(4))).sign("box", "put", ARGS)


async def test_a_node_that_does_not_answer_is_asked_last_from_then_on() -> None:
    nodes = [told("gone", TransportError("gone")), *(told(str(number), 41) for number in range(3))]
    nodes[0].answers["status"] = TransportError("gone")
    client = client_of(*nodes)
    for _ in range(2):
        assert nonce_of(await client.sign("box", "put", ARGS)) == 42
        client._nonce = client._seen = None
    assert [node.names() for node in nodes] == [["nonce"], ["nonce", "status"] * 2, ["nonce", "status"] * 2, []]


async def test_a_node_that_is_far_behind_has_no_say() -> None:
    nodes = [told("behind", 3, 5), told("one", 900, 9_000), told("two", 905, 9_010)]
    payload = parse_payload((await client_of(*nodes).sign("box", "put", ARGS)).payload.encode())
    assert (payload.nonce, payload.expires_at_height) == (906, 9_010 + EXPIRY_BLOCKS)


async def test_the_height_is_asked_for_once_in_a_while() -> None:
    node = FakeNode("one")
    client = client_of(node)
    for _ in range(3):
        await client.sign("box", "put", ARGS)
    assert node.names().count("status") == 1


# ------------------------------------------------------------------------------------------------ reading


async def test_a_reader_opens_one_session_a_node_and_uses_it() -> None:
    challenge = methods.Challenge(b"c" * 32, 9)
    node = FakeNode(
        "http://node1.example:26601",
        challenge=challenge,
        session=methods.Session("token", ALICE.signer, 9),
        account=methods.Row("credit/account/x", 1, 0, 5),
    )
    client = client_of(node)
    await client.account()
    await client.account()
    assert node.names() == ["challenge", "session", "account", "account"]
    assert [token for _, _, token in node.asked] == ["", "", "token", "token"]
    params = node.asked[1][1]
    assert verify(
        ALICE.public_key, params.signature, session_text(GENESIS.chain_id, "node1.example:26601", challenge.challenge)
    )


def reader_node(name: str, account: Any) -> FakeNode:
    return FakeNode(
        name,
        challenge=methods.Challenge(b"c" * 32, 9),
        session=lambda params, token: methods.Session(f"token of {name}", ALICE.signer, 9),
        account=account,
    )


async def test_a_session_that_is_over_is_opened_again() -> None:
    node = reader_node("one", [refusal("SESSION_UNKNOWN", 401), methods.Row("k", 1, 0, 5)])
    assert (await client_of(node).account()).value == 5
    assert node.names() == ["challenge", "session", "account", "challenge", "session", "account"]


@pytest.mark.parametrize("trouble", [TransportError("gone"), refusal("STATE_LAGGING", 503)], ids=str)
async def test_a_read_moves_on_to_the_next_node_with_a_session_there(trouble: Exception) -> None:
    bad, good = reader_node("bad", trouble), reader_node("good", methods.Row("k", 1, 0, 5))
    assert (await client_of(bad, good).account()).value == 5
    assert good.asked[-1][2] == "token of good"


async def test_a_read_that_is_refused_is_refused() -> None:
    node, other = reader_node("one", refusal("NOT_YOURS", 403)), FakeNode("two")
    with pytest.raises(Refused, match="NOT_YOURS"):
        await client_of(node, other).account()
    assert other.asked == []


async def test_plain_reads_try_every_node_once() -> None:
    nodes = [FakeNode(str(n), book=TransportError(f"{n} is gone")) for n in range(3)]
    with pytest.raises(TransportError, match="2 is gone"):
        await client_of(*nodes).book(5)
    assert [node.names() for node in nodes] == [["book"]] * 3


async def test_without_a_key_nothing_is_signed() -> None:
    client = client_of(FakeNode("one"), key=None)
    with pytest.raises(ValueError, match="no key"):
        await client.sign("box", "put", ARGS)
    assert (await client.status()).name == "node1"


async def test_a_client_needs_an_endpoint_and_closes_all_it_has() -> None:
    with pytest.raises(ValueError, match="at least one endpoint"):
        AsyncClient([], GENESIS)
    nodes = [FakeNode("one"), FakeNode("two")]
    async with client_of(*nodes):
        pass
    assert [node.closed for node in nodes] == [True, True]


async def test_a_genesis_file_is_fetched_whole() -> None:
    node = FakeNode("one", genesis=methods.GenesisFile(GENESIS.raw))
    assert (await fetch_genesis(node)).chain_id == GENESIS.chain_id


# ---------------------------------------------------------------------------------------------- channels


def member_node(name: str, ledger: Ledger) -> FakeNode:
    """A node that lets Alice into a channel."""
    return FakeNode(
        name,
        submit=commits(ledger),
        status=_status(),
        nonce=methods.NonceState(ALICE.signer, -1),
        challenge=methods.Challenge(b"c", 0),
        session=methods.Session("token", ALICE.signer, 0),
    )


async def test_in_a_channel_every_call_has_an_identity(ledger: Ledger) -> None:
    node = member_node("one", ledger)
    client = AsyncClient([node], GENESIS, ALICE, GENESIS.channel)
    assert (await client.invoke("box", "put", ARGS)).code == "OK"
    assert set(node.channels) == {GENESIS.channel}
    told = {name: token for name, _, token in node.asked}
    assert told == {"challenge": "", "session": "", "nonce": "token", "status": "token", "submit": "token"}


async def test_a_session_that_is_over_keeps_no_transaction_out_of_a_channel(ledger: Ledger) -> None:
    commit = commits(ledger)

    def over(params: SubmitParams, token: str) -> Submission:
        if token:
            raise refusal("SESSION_UNKNOWN", 401)
        submission: Submission = commit(params, token)
        return submission

    node = member_node("one", ledger)
    node.answers["submit"] = over
    client = AsyncClient([node], GENESIS, ALICE, GENESIS.channel)
    assert (await client.invoke("box", "put", ARGS)).code == "OK"
    assert [token for name, _, token in node.asked if name == "submit"] == ["token", ""]


async def test_a_node_that_is_no_member_is_passed_over(ledger: Ledger) -> None:
    unknown = refusal("CHANNEL_UNKNOWN", 404)
    stranger = FakeNode("stranger", challenge=methods.Challenge(b"c", 0), session=unknown, submit=unknown)
    client = AsyncClient([stranger, member_node("member", ledger)], GENESIS, ALICE, GENESIS.channel)
    assert (await client.invoke("box", "put", ARGS)).code == "OK"


async def test_a_channel_is_asked_with_its_own_genesis_file() -> None:
    with pytest.raises(ValueError, match="genesis file of channel main, not of family"):
        AsyncClient([FakeNode("one")], GENESIS, ALICE, "family")
