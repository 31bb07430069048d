"""The machine's signature limit, measured beside a run: cores / (n * verify + sign) transactions a second."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from ca.keys import SigningKey
from ca.signatures import verify

MESSAGE_BYTES = 400
"""About a market transaction's payload."""
ROUNDS = 1_000


@dataclass(frozen=True, slots=True)
class SignatureCost:
    """Microseconds of one signature and of one verification, on one core."""

    sign_us: float
    verify_us: float

    def limit_tx_per_s(self, nodes: int, cores: int) -> float:
        """What the cores can do if every node verifies each client signature and nothing else costs anything."""
        return cores / ((nodes * self.verify_us + self.sign_us) / 1e6)


def measure_signatures() -> SignatureCost:
    """Time both operations on this machine, now."""
    key = SigningKey.generate()
    messages = [os.urandom(MESSAGE_BYTES) for _ in range(ROUNDS)]
    began = time.perf_counter()
    signatures = [key.sign(message) for message in messages]
    signed = time.perf_counter()
    good = [verify(key.public_key, s, m) for s, m in zip(signatures, messages, strict=True)]
    done = time.perf_counter()
    assert all(good), "what we signed verifies"
    return SignatureCost((signed - began) / ROUNDS * 1e6, (done - signed) / ROUNDS * 1e6)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
