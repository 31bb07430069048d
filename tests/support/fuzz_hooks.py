"""For schemathesis, loaded by its configuration, never imported: NDJSON, which it knows not, and what was accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import schemathesis

NDJSON = "application/x-ndjson"
ACCEPTED = Path("accepted.txt")
"""Beside the configuration: the operations that have answered 2xx, a line each."""
_known: set[str] = set()


@schemathesis.serializer(NDJSON)
def lines(_: Any, value: Any) -> bytes:
    """Each item in a line; what is no list, as it is."""
    items = value if isinstance(value, list) else [value]
    return b"".join(item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n" for item in items)


@schemathesis.deserializer(NDJSON)
def items(_: Any, response: Any) -> list[Any]:
    return [json.loads(line) for line in response.content.splitlines()]


@schemathesis.hook
def after_call(_: Any, case: Any, response: Any) -> None:
    operation = f"{case.operation.method.upper()} {case.operation.path}"
    if 200 <= response.status_code < 300 and operation not in _known:
        _known.add(operation)
        with ACCEPTED.open("a", encoding="utf-8") as file:
            file.write(operation + "\n")
