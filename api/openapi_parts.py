"""Parts of the OpenAPI document that are prose, or the same for every route."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from sdk.method_texts import PARAMETERS
from sdk.problem_codes import CODES

SCHEMAS = "#/components/schemas/"
CHANNEL = {
    "name": "channel",
    "in": "path",
    "required": True,
    "description": PARAMETERS["channel"],
    "schema": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"},
}
CONTRACTS_CODES = (403, 409, 422)
"""Statuses under which the codes of contracts come."""
INTRODUCTION = inspect.cleandoc(
    """
    A node of an electricity market on a consortium blockchain. Energy is in Wh, money in micro-currency, times are UTC
    in milliseconds, hashes and signers hex text, bytes base64.

    **Writing** takes a signed transaction and nothing else: a node can forge nothing. **Reading** is open to anyone
    about the market without names; what names a party takes a session (`POST /v1/challenges`, `/v1/sessions`, then
    `Authorization: Bearer`): a party sees its own, the operator and the regulator everything.

    A refusal is a problem document (`application/problem+json`, RFC 9457) with a stable `code` and a sentence,
    `detail`, that says what to do. Answers carry `X-Request-Id`: yours, if you sent one of 8 to 64 letters, digits,
    dots, dashes and underscores, and the same in the node's log. Refusals 429 and 503 carry `Retry-After`.
    """
)
TAGS = {
    "transactions": "Signed transactions, and what came of them.",
    "market": "The market, and your part of it.",
    "blocks": "The chain.",
    "state": "The world state: documents, proofs and the past.",
    "identity": "Certificates and sessions.",
    "streams": "What happens, as it happens.",
    "node": "The node itself.",
    "channels": "The same calls in another channel than the main one, for its members.",
}


def refusals(codes: Iterable[str], open_statuses: Iterable[int] = ()) -> dict[str, Any]:
    """Responses by status for the problem documents with these codes; under ``open_statuses`` contracts' codes too."""
    by_status: dict[int, list[str]] = {status: [] for status in open_statuses}
    for code in dict.fromkeys(codes):
        by_status.setdefault(CODES[code].status, []).append(f"`{code}`")
    return {
        str(status): _refusal(status, names, status in open_statuses) for status, names in sorted(by_status.items())
    }


def _refusal(status: int, names: list[str], is_open: bool) -> dict[str, Any]:
    texts = [*names, "a contract's own code"] if is_open else names
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    made: dict[str, Any] = {
        "description": ", ".join(texts) + ".",
        "content": {"application/problem+json": {"schema": schema}},
    }
    if status in (429, 503):
        text = "Seconds after which to try again."
        made["headers"] = {"Retry-After": {"description": text, "schema": {"type": "integer", "minimum": 1}}}
    return made


def json_answer(name: str, description: str) -> dict[str, Any]:
    """A response with the schema of that name."""
    return {"description": description, "content": {"application/json": {"schema": {"$ref": SCHEMAS + name}}}}


def tidied(schema: Any) -> Any:
    """Schemas as other languages read them: patterns of ECMAScript, one backtick, prose without the source's margin."""
    if isinstance(schema, dict):
        made = {key: tidied(value) for key, value in schema.items()}
        if isinstance(pattern := made.get("pattern"), str):
            made["pattern"] = pattern.replace("\\Z", "$")
        if made.get("contentEncoding") == "base64":
            made["pattern"] = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
        if isinstance(text := made.get("description"), str):
            made["description"] = inspect.cleandoc(text).replace("``", "`")
        return made
    return [tidied(each) for each in schema] if isinstance(schema, list) else schema
