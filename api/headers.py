"""A block's header as it is told, and what is said of a block that is not here any more."""

from __future__ import annotations

from ledger.ledger import Ledger
from sdk.errors import Problem, Refused
from sdk.methods import HeaderRecord


def header_record(ledger: Ledger, height: int) -> HeaderRecord:
    """The header of a block that is held; ``BlockNotHeld`` otherwise. Blocks."""
    block = ledger.block(height)
    return HeaderRecord(
        height=height,
        hash=block.statement.header_hash.hex(),
        previous_hash=block.header.previous_hash.hex(),
        time_ms=block.header.time_ms,
        transactions=block.transactions,
        transaction_root=block.header.transaction_root.hex(),
        state_root=block.statement.state_root.hex(),
        certified=height <= ledger.certified_height,
        view=block.view,
        proposer=ledger.epoch_at(height).validators[block.proposer].name,
    )


def not_held(first_height: int) -> Refused:
    message = (
        f"This node holds blocks from {first_height} on: it began with a snapshot, or was pruned. "
        "Earlier ones are in its archive, or at another node."
    )
    return Refused(Problem("BLOCK_NOT_HELD", message, 410))
