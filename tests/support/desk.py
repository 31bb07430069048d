"""A node's service on a real ledger, with people whose roles differ; no network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ledgers import ALICE, BOB, CAROL, YEAR_MS, BoxMachine, certificate_of, envelope, open_ledger, run_block, user_value

from api.service import NodeService
from api.sessions import Sessions
from api.submissions import Submissions
from ca.keys import SigningKey
from ledger.codes import Refusal
from ledger.envelope import Envelope
from ledger.ledger import Ledger
from ledger.statedb.embedded import EmbeddedDatabase
from ledger.statedb.projector import Projector
from sdk.client import session_text
from sdk.methods import METHODS, Nothing, SessionParams
from sdk.node_address import SOCKET_ADDRESS

PROJECTED_WITHIN_S = 30.0
OPERATOR = SigningKey.from_seed(b"operator")
MARKET: dict[str, Any] = {
    "market/trade/1": {"type": "trade", "interval": 5, "seller": ALICE.signer, "buyer": BOB.signer, "price": 7},
    "market/trade/2": {"type": "trade", "interval": 6, "seller": BOB.signer, "buyer": BOB.signer, "price": 1},
    f"credit/account/{ALICE.signer}": {"type": "account", "owner": ALICE.signer, "balance": str(2**70)},
    "market/top/ask/0000000005/": {"a": "0000000100/1", "b": "0000000100/2"},
    "market/top/bid/0000000005/": {"a": "0999999910/3"},
    "market/ask/0000000005//a/0000000100/1": "1",
    "market/ask/0000000005//b/0000000100/2": "2",
    "market/bid/0000000005//a/0999999910/3": "3",
    "market/order/1": {"remaining_wh": 300},
    "market/order/2": {"remaining_wh": 200},
    "market/order/3": {"remaining_wh": 50},
    "market/offer/0000000005/00000000120/1": ["000-1", 700, 100, "north"],
}


class Desk:
    """The service, and what stands behind it."""

    def __init__(self, home: Path, machine: BoxMachine | None = None) -> None:
        self.ledger: Ledger = open_ledger(home / "ledger", machine=machine)
        self.database = EmbeddedDatabase(home / "documents.sqlite")
        self.projector = Projector(self.database, self.ledger.snapshot, 100, mark_at=self.ledger.mark)
        self.ledger.on_commit.append(lambda block: self.projector.offer(block.height, block.changes))
        self.ordered: list[Envelope] = []
        self.order_refusal: Refusal | None = None
        self.submissions = Submissions(self.ledger, self._order)
        self.addresses = {SOCKET_ADDRESS}
        sessions = Sessions(self.ledger.genesis.chain_id, 100, self.addresses)
        self.service = NodeService(
            self.ledger,
            self.database,
            self.projector,
            self.submissions,
            sessions,
            _no_status,
            None,
            _no_handover,
            _no_diagnosis,
            _no_rounds,
        )
        self.nonce = -1
        self.projector.start()

    def close(self) -> None:
        self.projector.stop()
        self.database.close()
        self.ledger.close()

    async def _order(self, envelopes: Sequence[Envelope]) -> list[Refusal | None]:
        self.ordered.extend(envelopes)
        return [self.order_refusal for _ in envelopes]

    def plant(self, values: dict[str, Any]) -> Envelope:
        """One block that puts these documents into the state."""
        self.nonce += 1
        made = envelope(CAROL, function="plant", nonce=self.nonce, args=values)
        run_block(self.ledger, made)
        return made

    def certify(self, height: int) -> None:
        self.ledger.certify([certificate_of(self.ledger.block(height).statement)])
        self.submissions.on_certified(height)

    async def token(self, key: SigningKey) -> str:
        """A session of the key's holder."""
        challenge: Any = await self.call("challenge", "", public_key=key.public_key)
        node = SOCKET_ADDRESS
        signature = key.sign(session_text(self.ledger.genesis.chain_id, node, challenge.challenge))
        params = SessionParams(public_key=key.public_key, challenge=challenge.challenge, signature=signature, node=node)
        session: Any = await self.service.handle("session", params, "")
        assert abs(session.expires_ms - time.time() * 1000) < YEAR_MS
        token: str = session.token
        return token

    async def call(self, method: str, token: str = "", **params: Any) -> Any:
        return await self.service.handle(method, METHODS[method].params(**params), token)


def _no_status() -> Any:
    return Nothing()


def _no_diagnosis() -> Any:
    return Nothing()


def _no_rounds() -> Any:
    return Nothing()


async def _no_handover(message: bytes) -> int | None:
    return None


PEOPLE = [(ALICE, "seller"), (BOB, "buyer"), (CAROL, "prosumer"), (OPERATOR, "operator")]


def made_desk(home: Path, machine: BoxMachine | None = None) -> Desk:
    """One whose first block, certified and projected, holds the people and the market."""
    made = Desk(home, machine)
    users = {f"registry/user/{key.signer}": user_value(key, role) for key, role in PEOPLE}
    made.plant({**users, **MARKET})
    made.certify(1)
    assert made.projector.wait_for(1, PROJECTED_WITHIN_S)
    return made
