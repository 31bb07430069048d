"""NDJSON for schemathesis, which knows it not: loaded by its configuration, never imported."""

from __future__ import annotations

import json
from typing import Any

import schemathesis

NDJSON = "application/x-ndjson"


@schemathesis.serializer(NDJSON)
def lines(_: Any, value: Any) -> bytes:
    """Each item in a line; what is no list, as it is."""
    items = value if isinstance(value, list) else [value]
    return b"".join(item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n" for item in items)


@schemathesis.deserializer(NDJSON)
def items(_: Any, response: Any) -> list[Any]:
    return [json.loads(line) for line in response.content.splitlines()]
