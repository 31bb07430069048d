"""What is the node's own fault: the log has the rest, under the number that the caller is told."""

from __future__ import annotations

import logging

from sdk import request_ids
from sdk.errors import Problem


def our_fault(logger: logging.Logger, what: str) -> Problem:
    """Log the exception being handled under its request's number; say that number to the caller, and nothing else."""
    number = request_ids.current() or request_ids.begin()
    logger.exception("request %s: %r failed", number, what[:200])
    return Problem("INTERNAL_ERROR", f"The node failed to answer; its log says why, under request {number}.", 500)
