"""What a node's work costs in processor time, measured on one machine or read from a file.

``reference.json`` is one measurement (docs/SCALE.md), so that tests and repeated runs have the same figures.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

KB = 1_024
EXECUTE_US_PER_TX = 150.0
"""Assumed, not measured: a deposit takes about 70 in memory; a trade and its share of the store about twice that."""
EXECUTE_US_PER_BLOCK = 2_000.0
"""Assumed: syncing the chain file and writing the store once a block."""
_REFERENCE = Path(__file__).with_name("reference.json")


class CostsFault(Exception):
    """A costs file that cannot be used; the message says why."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cost in microseconds: ``base`` + ``per_kb`` for each 1,024 bytes."""

    base: float
    per_kb: float = 0.0

    def ns(self, size: int) -> int:
        return int((self.base + self.per_kb * size / KB) * 1_000)


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the core takes for one event, in microseconds: it grows with the replicas and with the transactions."""

    base: float
    per_node: float = 0.0
    per_tx: float = 0.0

    def ns(self, nodes: int, transactions: int = 0) -> int:
        return int((self.base + self.per_node * nodes + self.per_tx * transactions) * 1_000)


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All in microseconds. Kinds are the message classes' names; ``step`` has ``Executed`` and ``propose`` besides."""

    machine: str
    sign_us: float
    verify_us: float
    fsync_us: float
    hash_us_per_kb: float
    tls_us_per_kb: float
    send_us: float
    """Handing one frame to the kernel."""
    receive_us: float
    encode: dict[str, Line]
    decode: dict[str, Line]
    step: dict[str, Step]
    execute_us_per_tx: float = EXECUTE_US_PER_TX
    execute_us_per_block: float = EXECUTE_US_PER_BLOCK

    @classmethod
    def free(cls) -> Costs:
        """Nothing costs anything: for measuring the steps themselves."""
        return cls("none", 0, 0, 0, 0, 0, 0, 0, {}, {}, {}, 0, 0)

    @classmethod
    def reference(cls) -> Costs:
        return cls.load(_REFERENCE)

    @classmethod
    def load(cls, path: Path) -> Costs:
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError) as error:
            raise CostsFault(f"{path}: {error}") from None

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"
