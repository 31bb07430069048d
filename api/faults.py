"""What is the node's own fault: the log has the rest, under the number that the caller is told."""

from __future__ import annotations

import logging
import secrets

from sdk.errors import Problem


def our_fault(logger: logging.Logger, what: str) -> Problem:
    """Log the exception being handled under a fresh number, and say that number to the caller, and nothing else."""
    number = secrets.token_hex(8)
    logger.exception("request %s: %r failed", number, what[:200])
    return Problem("INTERNAL_ERROR", f"The node failed to answer; its log says why, under request {number}.", 500)
