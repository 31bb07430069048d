"""The OpenAPI 3.1 document, made from the table of methods: every route, parameter, answer and refusal, typed.

What is no method (health, batches, this document itself) is in ``api.openapi_extras``.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import msgspec

from api.openapi_extras import EXTRA_PATHS, EXTRA_SCHEMAS
from api.openapi_parts import CHANNEL, CONTRACTS_CODES, INTRODUCTION, SCHEMAS, TAGS, refusals, tidied
from sdk.method_texts import PARAMETERS, TEXTS, MethodText
from sdk.methods import METHODS, Method
from sdk.problem_codes import ANY_BODY, ANY_CALL, ANY_CHANNEL, CODES

NO_SESSION_IN_CHANNELS = ("challenge", "session", "submit")
"""Other calls in a channel are answered to members' sessions only."""
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Yours to choose, a UUID for instance: a repeated call with the same body gets the same answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
}


def document() -> dict[str, Any]:
    """The whole document."""
    schemas = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for method in METHODS.values():
        for each in (method, method.within("{channel}")):
            paths.setdefault(each.path, {})[each.verb.lower()] = _operation(each, schemas)
    for path, operations in EXTRA_PATHS.items():
        paths.setdefault(path, {}).update(operations)
    bodies = {method.params.__name__ for method in METHODS.values() if method.verb == "POST"}
    params = {method.params.__name__ for method in METHODS.values()} - bodies
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Wattquorum",
            "version": version("wattquorum"),
            "description": INTRODUCTION,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {name: schema for name, schema in schemas.items() if name not in params},
            "securitySchemes": {
                "session": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of POST /v1/sessions: for reading, as the holder of a key.",
                }
            },
        },
        "x-problem-codes": {code: msgspec.to_builtins(text) for code, text in sorted(CODES.items())},
    }


def _schemas() -> dict[str, Any]:
    types = [each for method in METHODS.values() for each in (method.params, method.result)]
    _, components = msgspec.json.schema_components([*types, *EXTRA_SCHEMAS], ref_template=SCHEMAS + "{name}")
    found: dict[str, Any] = tidied(components)
    for name in {method.params.__name__ for method in METHODS.values()} | {"SignatureText"}:
        for field, schema in found[name]["properties"].items():
            if field in PARAMETERS and "$ref" not in schema:
                schema["description"] = PARAMETERS[field]
    return found


def _operation(method: Method[Any, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    text = TEXTS.get(method.name, MethodText("node", method.name, ""))
    codes: tuple[str, ...] = (*ANY_CALL, *text.codes)
    parameters = _parameters(method, schemas[method.params.__name__])
    made: dict[str, Any] = {
        "operationId": f"channel_{method.name}" if method.channel else method.name,
        "tags": ["channels" if method.channel else text.tag],
        "summary": text.summary + (" in a channel" if method.channel else ""),
        "description": text.description,
        "security": _security(method, text),
    }
    if method.channel:
        codes += ANY_CHANNEL + (("CHANNEL_CLOSED",) if method.name == "submit" else ())
        parameters.insert(0, CHANNEL)
    if method.name == "submit":
        parameters.append(IDEMPOTENCY_KEY)
    if method.verb == "POST":
        codes += ANY_BODY
        schema = {"$ref": SCHEMAS + method.params.__name__}
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    made["parameters"] = parameters
    made["responses"] = {**_answer(method), **refusals(codes, _open_statuses(method))}
    return made


def _open_statuses(method: Method[Any, Any]) -> Iterable[int]:
    """The statuses that contracts' own codes may have."""
    return CONTRACTS_CODES if method.name in ("submit", "view") else ()


def _security(method: Method[Any, Any], text: MethodText) -> list[dict[str, Any]]:
    session: dict[str, Any] = {"session": []}
    if method.channel:
        return [{}, session] if method.name in NO_SESSION_IN_CHANNELS else [session]
    return {"identity": [session], "more with identity": [{}, session]}.get(text.access, [{}])


def _parameters(method: Method[Any, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of the path, and for GET those of the query string. A query string has no null: what may be left out is."""
    if method.verb == "POST":
        return []
    found = []
    for name, each in schema["properties"].items():
        in_path = "{" + name + "}" in method.path
        kept = {key: value for key, value in each.items() if key != "description" and value is not None}
        if "anyOf" in kept:
            kept = next(choice for choice in kept["anyOf"] if choice != {"type": "null"})
        found.append(
            {
                "name": name,
                "in": "path" if in_path else "query",
                "required": name in schema.get("required", ()),
                "description": PARAMETERS.get(name, ""),
                "schema": kept,
            }
        )
    return found


def _answer(method: Method[Any, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": "The answer.",
        "content": {"application/json": {"schema": {"$ref": SCHEMAS + method.result.__name__}}},
    }
    if method.verb != "GET":
        return {"200": answer}
    answer["headers"] = {"ETag": {"description": "Send it back as If-None-Match.", "schema": {"type": "string"}}}
    return {"200": answer, "304": {"description": "What If-None-Match names is still so; there is no body."}}
