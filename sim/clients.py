"""The simulated client: two operators who deposit one unit after another, so that money counts transactions."""

from __future__ import annotations

import json

from ca.keys import SigningKey
from ledger.envelope import envelope_from_text
from ledger.genesis import Genesis

GAS_LIMIT = 100_000
EXPIRES_AT_HEIGHT = 100_000


class SimClient:
    """Makes signed envelopes; ``submitted``: their hashes."""

    def __init__(self, genesis: Genesis, operators: list[SigningKey]) -> None:
        self._genesis = genesis
        self._operators = operators
        self._nonce = -1
        self.submitted: set[bytes] = set()
        self.last = b""

    def next_envelope(self) -> bytes:
        """A deposit of one, signed by both operators."""
        self._nonce += 1
        payload = json.dumps(
            {
                "v": 1,
                "chain": self._genesis.chain_id.hex(),
                "channel": self._genesis.channel,
                "signers": [key.signer for key in self._operators],
                "contract": "credit",
                "function": "deposit",
                "args": {"account": self._operators[0].signer, "amount": 1},
                "nonce": self._nonce,
                "expires_at_height": EXPIRES_AT_HEIGHT,
                "gas_limit": GAS_LIMIT,
            }
        )
        data = payload.encode()
        pairs = [(key.public_key, key.sign(data)) for key in self._operators]
        return envelope_from_text(payload, pairs).raw
