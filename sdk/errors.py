"""What can go wrong between a client and a node, and whose fault it is."""

from __future__ import annotations

import msgspec

from ledger.proofs import ProofInvalid as ProofInvalid
from sdk.methods import Submission


class Problem(msgspec.Struct, frozen=True):
    """A refusal as it travels: a stable code, a sentence that says what to do, and its HTTP status (RFC 9457).

    ``submission``: how far a transaction came that was taken in all the same, with its receipt if that was asked for.
    ``retry_after_s``: when to try again, if that is known.
    """

    code: str
    message: str
    status: int = 422
    submission: Submission | None = None
    retry_after_s: int = 0


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding bytes of somebody else's raises that are not what was expected: another shape, no UTF-8, too deep."""


class SdkError(Exception):
    """Base of everything the SDK raises."""


class Refused(SdkError):
    """A node or a contract said no; nothing but, at most, a nonce has changed. ``tx_id``: of what was taken in."""

    def __init__(self, problem: Problem, tx_id: str = "") -> None:
        super().__init__(f"{problem.code}: {problem.message}")
        self.code = problem.code
        self.message = problem.message
        self.status = problem.status
        self.tx_id = tx_id or (problem.submission.tx_id if problem.submission is not None else "")
        self.problem = problem


class NotAsShown(SdkError):
    """A node has shown something that the certified chain does not say; nothing was signed."""


class TransportError(SdkError):
    """An endpoint could not be reached, hung up, or answered what is no answer."""


class Unavailable(SdkError):
    """No endpoint brought the transaction to a verified certificate in time; it may still commit later."""

    def __init__(self, message: str, tx_id: str = "") -> None:
        super().__init__(message)
        self.tx_id = tx_id
