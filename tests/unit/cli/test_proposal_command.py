"""`wattq proposal` against a node's service: begun with one key, signed with others, submitted with the last."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, made_desk
from ledgers import ALICE, BOB, CAROL, GENESIS, run_block, user_value
from typer.testing import CliRunner

from api.socket import SocketServer
from ca.keys import SigningKey
from cli.main import app
from ledger.authentication import USER_PREFIX
from ledger.codes import Refusal
from ledger.envelope import Envelope
from ledger.genesis import write_genesis
from sdk import methods, proposals
from sdk.errors import TransportError
from sdk.methods import ProposalRecord, SignatureText

EVE, FAY = SigningKey.from_seed(b"eve signs with alice"), SigningKey.from_seed(b"fay does too")
PUT = ("box.put", '{"key": "a", "value": 7}')


@dataclass
class House:
    """A node that executes what it gets at once; two of eve's and fay's keys sign for alice's account with hers."""

    home: Path
    desk: Desk
    nodes: tuple[Path, ...]

    async def run(self, key: SigningKey, *words: str) -> tuple[int, str]:
        file = self.home / f"{key.signer[:8]}.key"
        if not file.exists():
            key.save(file)
        options = ["--key", str(file), "--genesis", str(self.home / "genesis.json")]
        options += [option for node in self.nodes for option in ("--node", f"unix:{node}/s")]
        done = await asyncio.to_thread(CliRunner().invoke, app, ["proposal", *words, *options])
        return done.exit_code, done.output

    async def json(self, key: SigningKey, *words: str) -> Any:
        code, output = await self.run(key, *words, "--json")
        assert code == 0, output
        return json.loads(output)

    async def execute(self, envelopes: Sequence[Envelope]) -> list[Refusal | None]:
        run_block(self.desk.ledger, *envelopes)
        self.desk.certify(self.desk.ledger.height)
        return [None for _ in envelopes]


@asynccontextmanager
async def opened(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    write_genesis(home / "genesis.json", GENESIS)
    desk = made_desk(home)
    made = House(home, desk, (home,))
    keys = [EVE.signer, FAY.signer]
    policy = {"type": "policy", "account": ALICE.signer, "keys": keys, "threshold": 2}
    users = {USER_PREFIX + key.signer: user_value(key, "buyer") for key in (EVE, FAY)}
    desk.plant({f"credit/policy/{ALICE.signer}": policy, **users})
    chain = GENESIS.chain_id.hex()
    status = methods.NodeStatus("n", 0, "0", chain, "main", 0, True, "n", 2, 2, "", 0, 7, 0, (), {}, ())
    monkeypatch.setattr(desk.service, "_status", lambda: status)
    monkeypatch.setattr(desk.submissions, "_order", made.execute)
    socket = SocketServer(desk.service.handle, connections_max=16)
    await socket.listen_unix(home / "s")
    yield made
    await socket.close()
    desk.close()


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    async with opened(tmp_path, monkeypatch) as made:
        yield made


async def test_three_sign_one_after_another_and_the_last_submits(house: House) -> None:
    (begun,) = await house.json(ALICE, "begin", *PUT, "--with", EVE.signer, "--with", FAY.signer)
    assert begun["missing"] == [EVE.signer, FAY.signer]
    code, output = await house.run(FAY, "list")
    assert (code, output.splitlines()[0]) == (0, f'{begun["tx_id"]}: box.put {{"key": "a", "value": 7}}')
    (once,) = await house.json(FAY, "sign", begun["tx_id"])
    assert once["missing"] == [EVE.signer]
    done = await house.json(EVE, "sign", begun["tx_id"])
    assert (done["tx_id"], done["code"], done["value"]) == (begun["tx_id"], "OK", 7)
    assert await house.run(EVE, "list") == (0, f"nothing waits for this key at unix:{house.home}/s\n")


async def test_who_signs_at_one_node_has_signed_at_all_that_the_others_know(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes pass nothing on to each other: a second operator who looked at another node found nothing to sign."""
    there, away = tmp_path / "there", tmp_path / "away"
    there.mkdir()
    async with opened(there, monkeypatch) as other:
        house.nodes = (away, tmp_path, there)
        (begun,) = await house.json(ALICE, "begin", *PUT, "--with", EVE.signer, "--with", FAY.signer)
        (once,) = await other.json(FAY, "sign", begun["tx_id"])
        assert once["missing"] == [EVE.signer]
        assert await house.json(EVE, "list") == [once]
        assert (await house.json(EVE, "sign", begun["tx_id"]))["code"] == "OK"
        (second,) = await house.json(ALICE, "begin", *PUT, "--with", EVE.signer)
        await house.json(EVE, "withdraw", second["tx_id"])
        assert await other.json(ALICE, "list") == [once], "this one has not executed there"
    house.nodes = (away,)
    assert (await house.run(EVE, "list"))[0] == 3


async def test_what_waits_has_a_nonce_of_its_own(house: House) -> None:
    """The next transaction of its first signer would have made it worthless."""
    for value in (1, 2):
        await house.json(ALICE, "begin", "box.put", f'{{"key": "a", "value": {value}}}', "--with", EVE.signer)
    told = (await house.desk.call("proposals", await house.desk.token(EVE))).proposals
    nonces = [json.loads(record.payload)["nonce"] for record in told]
    assert nonces == [proposals.NONCE_AHEAD, proposals.NONCE_AHEAD - 1]


async def test_what_is_refused_is_told(house: House) -> None:
    code, output = await house.run(ALICE, "begin", *PUT, "--with", BOB.signer)
    assert (code, "NOT_CO_SIGNERS" in output) == (1, True)
    (begun,) = await house.json(ALICE, "begin", *PUT, "--with", EVE.signer)
    for words in (("sign", "0" * 64), ("withdraw", "0" * 64)):
        code, output = await house.run(EVE, *words)
        assert (code, "NOT_FOUND" in output) == (1, True)
    assert (await house.run(CAROL, "sign", begun["tx_id"]))[0] == 1
    assert (await house.run(EVE, "begin", "box", "{}", "--with", FAY.signer))[0] == 2
    assert (await house.json(EVE, "withdraw", begun["tx_id"])) == {"tx_id": begun["tx_id"]}
    assert await house.json(ALICE, "list") == []


FALSE = SignatureText(public_key=EVE.public_key, signature=EVE.sign(b"another text"))


@pytest.mark.parametrize(
    "change", [{"tx_id": "0" * 64}, {"payload": "{}"}, {"signatures": ()}, {"signatures": (None, FALSE)}]
)
async def test_a_node_that_tells_of_another_one_is_not_believed(house: House, change: dict[str, Any]) -> None:
    await house.json(ALICE, "begin", *PUT, "--with", EVE.signer)
    (record,) = (await house.desk.call("proposals", await house.desk.token(EVE))).proposals
    whole = {"tx_id": record.tx_id, "payload": record.payload, "signatures": record.signatures, "since_ms": 0}
    with pytest.raises(TransportError):
        proposals._read(ProposalRecord(**(whole | change)))
