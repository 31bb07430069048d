"""Routes that are no methods of ``sdk.methods``, as the OpenAPI document tells them."""

from __future__ import annotations

from typing import Any

import msgspec

from api.batches import NDJSON, BatchAnswer
from api.openapi_live import LIVE_PATHS, LIVE_SCHEMAS
from api.openapi_parts import CHANNEL, SCHEMAS, json_answer, refusals
from api.problems import ProblemDocument
from sdk.problem_codes import ANY_CALL


class Health(msgspec.Struct, frozen=True):
    """Whether a node is well: it takes part in a view, and nothing alarms it."""

    status: str
    executed_height: int
    certified_height: int
    view: int
    alarms: tuple[str, ...]


def _batch(channel: str) -> dict[str, Any]:
    """NDJSON both ways: OpenAPI 3.1 has no other word for it than an array, whose items are the lines."""
    lines, answers = (
        {"schema": {"type": "array", "items": {"$ref": SCHEMAS + name}}} for name in ("SubmitParams", "BatchAnswer")
    )
    return {
        "operationId": "channel_submit_batch" if channel else "submit_batch",
        "tags": ["channels" if channel else "transactions"],
        "summary": "Submit many signed transactions" + (" in a channel" if channel else ""),
        "description": (
            "NDJSON: a signed envelope a line, each as for one transaction, with its own `wait`. The answers come in "
            "the same order, one a line, as soon as they are there: `result` or `problem`. At most 10,000 lines, of "
            "which 32 are under way at once. A line that cannot be read as one (too long, too slow, one too many) ends "
            "the batch."
        ),
        "security": [{}, {"session": []}] if channel else [{}],
        "parameters": [CHANNEL] if channel else [],
        "requestBody": {"required": False, "content": {NDJSON: lines}},
        "responses": {
            **refusals((*ANY_CALL, "MEDIA_TYPE_UNKNOWN")),
            "200": {"description": "A line for each line.", "content": {NDJSON: answers}},
        },
    }


EXTRA_SCHEMAS: tuple[type[msgspec.Struct], ...] = (ProblemDocument, Health, BatchAnswer, *LIVE_SCHEMAS)
EXTRA_PATHS: dict[str, dict[str, Any]] = {
    **LIVE_PATHS,
    "/v1/transactions/batch": {"post": _batch("")},
    "/v1/channels/{channel}/transactions/batch": {"post": _batch("{channel}")},
    "/v1/health": {
        "get": {
            "operationId": "health",
            "tags": ["node"],
            "summary": "Whether this node is well",
            "description": "Answered even when all other connections are taken.",
            "security": [{}],
            "parameters": [],
            "responses": {
                **refusals(ANY_CALL),
                "200": json_answer("Health", "It is well."),
                "503": {
                    "description": "It is not well, or `NODE_UNREACHABLE`.",
                    "content": {
                        "application/json": {"schema": {"$ref": SCHEMAS + "Health"}},
                        "application/problem+json": {"schema": {"$ref": SCHEMAS + "ProblemDocument"}},
                    },
                },
            },
        }
    },
    "/openapi.json": {
        "get": {
            "operationId": "openapi",
            "tags": ["node"],
            "summary": "This document",
            "description": "Every route, parameter, answer and refusal. `/docs` shows it to people.",
            "security": [{}],
            "parameters": [],
            "responses": {
                **refusals(ANY_CALL),
                "200": {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {"type": "object"}}}},
                "304": {"description": "What If-None-Match names is still so; there is no body."},
            },
        }
    },
}
