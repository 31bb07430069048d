"""What a node may refuse though it has the shape that the specification asks for; everything else has to be accepted.

A schema says what a call looks like. Whether that is a key, a height or a transaction is decided behind it, so these
operations may answer a refusal of the listed statuses, each for the reason beside it. All others answer 2xx.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LOAD = (429, 431, 503, 504)
"""Of any operation: too many, a head that is too long, too busy, not certified yet. No matter of the schema's."""


@dataclass(frozen=True, slots=True)
class Refusable:
    """``paths``: a regular expression over whole paths, with their braces. ``always``: chance makes nothing good."""

    paths: str
    statuses: tuple[int, ...]
    why: str
    always: bool = False


TABLE = (
    Refusable("/v1/(transactions|receipts)/{tx_id}", (404,), "chance finds no transaction"),
    Refusable("/v1/blocks/({height}|by-hash/{hash})", (400, 404), "chance finds no block, nor a bookmark in it"),
    Refusable("/v1/certificates/{height}", (404,), "chance finds no block"),
    Refusable("/v1/(accounts|users)/{signer}", (404,), "chance finds nobody"),
    Refusable("/v1/(listings|orders|trades|adjustments|readings)", (400, 422), "a bookmark is one that was given, a "
              "min_height near"),
    Refusable("/v1/query", (400, 403, 422), "a selector is more than its shape, and may name what is nobody's"),
    Refusable("/v1/proof", (403, 422), "keys below system/ are nobody's, a min_height is near"),
    Refusable("/v1/history/{key}", (400, 403, 422), "keys below system/ are nobody's, a bookmark was given"),
    Refusable("/v1/values/{key}", (403, 404, 422), "keys have slashes, and the fuzzer puts none in a path", True),
    Refusable("/v1/views", (400, 403, 404, 409, 422), "chance finds no contract's view", True),
    Refusable("/v1/challenges", (400,), "few points are on the curve", True),
    Refusable("/v1/sessions", (400, 401, 421), "chance signs nothing, for no node", True),
    Refusable("/v1/transactions", (400, 403, 409, 422), "chance signs nothing", True),
    Refusable("/v1/proposals(/withdrawals)?", (400, 403, 404, 422), "chance signs nothing, and nothing waits", True),
    Refusable("/v1/handovers", (400, 422), "chance signs nothing", True),
    Refusable("/v1/(registrations(/.*)?|renewals)", (400, 403, 404, 409, 422), "chance signs nothing", True),
    Refusable("/v1/log-levels", (400, 404), "chance finds no logger"),
    Refusable("/v1/channels/.*", (400, 401, 404, 421, 422), "there is no such channel, the session is not its, and an "
              "Idempotency-Key comes with another body", True),
)  # fmt: skip


def expected(refusable: tuple[int, ...] = ()) -> list[str | int]:
    """The statuses of an answer to what the schema allows."""
    return ["2xx", "3xx", *refusable, *LOAD]


def exceptions() -> list[str]:
    """The table, as ``schemathesis.toml`` has it."""
    made: list[str] = []
    for each in TABLE:
        paths = each.paths.replace("{", "\\{").replace("}", "\\}")
        made += ["[[operations]]", f"include-path-regex = '^{paths}$'"]
        made.append(f"checks.positive_data_acceptance.expected-statuses = {expected(each.statuses)}")
    return made


def is_sometimes_accepted(path: str) -> bool:
    """Whether chance, with values that lead to something, makes a call of this path that is accepted."""
    return not any(each.always and re.fullmatch(re.sub(r"([{}])", r"\\\1", each.paths), path) for each in TABLE)
