"""What operators ask a node: why nothing is certified, and how much its log says."""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import sha256

from msgspec.structs import replace

from api.logs import levels, set_level
from api.pools import BoundedPool
from api.privacy import Viewer
from ledger.ledger import Ledger
from sdk.diagnosis import Diagnosis, Write
from sdk.errors import Problem, Refused
from sdk.methods import LogLevelParams, LogLevels, Nothing
from sdk.why import explain

WRITES_MAX = 2_000
"""Keys of a block that are told with it, where outcomes differ: what an answer holds at most."""

log = logging.getLogger("wattq.operating")


class Operating:
    """``diagnose``: the replica's own account; ``is_main``: only the main channel's operators rule the process."""

    def __init__(self, ledger: Ledger, reads: BoundedPool, diagnose: Callable[[], Diagnosis], is_main: bool) -> None:
        self._ledger = ledger
        self._reads = reads
        self._diagnose = diagnose
        self._is_main = is_main

    async def why(self, _: Nothing, viewer: Viewer) -> Diagnosis:
        """Who may read all, or sits at this machine, sees keys too: of the first block on which outcomes differ."""
        told = self._diagnose()
        if told.divergence is not None and (viewer.reads_all or is_local(viewer)):
            writes = await self._reads.run(self._writes, told.divergence.height)
            told = replace(told, writes=writes[:WRITES_MAX], writes_left_out=max(0, len(writes) - WRITES_MAX))
        return replace(told, findings=explain({told.name: told}, {}))

    def _writes(self, height: int) -> tuple[Write, ...]:
        found = self._ledger.writes(height) or {}
        return tuple(
            Write(key, "" if value is None else sha256(value).hexdigest()) for key, value in sorted(found.items())
        )

    async def set_log_level(self, params: LogLevelParams, viewer: Viewer) -> LogLevels:
        if not viewer.signer and not is_local(viewer):
            message = "Only operators may do this. Open a session with your key first (POST /v1/challenges)."
            raise Refused(Problem("IDENTITY_REQUIRED", message, 401))
        if not (self._is_main and (viewer.role == "operator" or is_local(viewer))):
            message = "Only an operator of the main channel, or the user that runs the node, may do this."
            raise Refused(Problem("OPERATOR_REQUIRED", message, 403))
        if not set_level(params.logger, params.level):
            message = f"There is no logger {params.logger!r}. Take wattq, or wattq.pbft, or leave it out."
            raise Refused(Problem("NOT_FOUND", message, 404))
        log.warning("the log level of %s is %s now", params.logger or "everything", params.level)
        return LogLevels(levels())


def is_local(viewer: Viewer) -> bool:
    """Whether it came by the node's own socket, which this machine's user alone can open, from nobody elsewhere."""
    return not viewer.origin
