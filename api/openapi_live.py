"""Streams, health and metrics, as the OpenAPI document tells them."""

from __future__ import annotations

from typing import Any

import msgspec

from api.connections import ALIVE, READY
from api.openapi_parts import CHANNEL, SCHEMAS, json_answer, refusals
from api.operations import METRICS, Readiness
from sdk.methods import VERSION_PATH
from sdk.problem_codes import ANY_CALL
from sdk.streaming import STREAMS_PATH, ProblemMessage, StreamRequest
from sdk.streams import TOPICS, StreamEvent

SESSIONS: list[dict[str, Any]] = [{}, {"session": []}]
REFUSED = ("IDENTITY_REQUIRED", "TOO_MANY_WAITERS", "HEIGHT_TOO_FAR", "BLOCK_NOT_HELD", "NODE_DIVERGED")
FROM_HEIGHT = {
    "name": "from_height",
    "in": "query",
    "required": False,
    "description": "Begin with this block; 0: with the next one to be certified.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 2**53, "default": 0},
}
INTERVAL = {
    "name": "interval",
    "in": "query",
    "required": False,
    "description": "The only interval whose book is wanted.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 2**40},
}
TOPIC = {
    "name": "topic",
    "in": "path",
    "required": True,
    "description": "What to be told of; all but blocks and book take a session.",
    "schema": {"type": "string", "enum": list(TOPICS)},
}
LAST_EVENT = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The id of the event that was told last: the stream goes on behind it.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,16}-[0-9]{1,10}$"},
}


def _websocket(channel: str) -> dict[str, Any]:
    first = {"schema": {"$ref": SCHEMAS + "StreamRequest"}}
    return {
        "operationId": f"{channel}stream",
        "tags": ["streams"],
        "summary": "Be told what happens, over a WebSocket" + (" in a channel" if channel else ""),
        "description": (
            "The first message, text, says what is wanted, with the session's token; each message that follows is an "
            "event, in order of height and index, without gap or double, once its block is certified. A refusal is the "
            "last message."
        ),
        "security": [{}],
        "parameters": [CHANNEL] if channel else [],
        "responses": {
            **refusals((*ANY_CALL, "WEBSOCKET_REQUIRED")),
            "101": {"description": "A WebSocket."},
        },
        "x-websocket": {
            "first": first,
            "event": {"schema": {"$ref": SCHEMAS + "StreamEvent"}},
            "problem": {"schema": {"$ref": SCHEMAS + "ProblemMessage"}},
        },
    }


def _server_sent(channel: str) -> dict[str, Any]:
    events = {"schema": {"type": "string"}, "x-data-schema": {"$ref": SCHEMAS + "StreamEvent"}}
    return {
        "operationId": f"{channel}events",
        "tags": ["streams"],
        "summary": "Be told what happens, by server-sent events" + (" in a channel" if channel else ""),
        "description": "The same events of one topic. A heartbeat comes every 10 s if nothing else does.",
        "security": SESSIONS,
        "parameters": [*([CHANNEL] if channel else []), TOPIC, FROM_HEIGHT, INTERVAL, LAST_EVENT],
        "responses": {
            **refusals((*ANY_CALL, *REFUSED, *(("CHANNEL_UNKNOWN",) if channel else ()))),
            "200": {"description": "Events, for as long as they are read.", "content": {"text/event-stream": events}},
        },
    }


def _probe(name: str, summary: str, description: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {
        "get": {
            "operationId": name,
            "tags": ["node"],
            "summary": summary,
            "description": description,
            "security": [{}],
            "parameters": [],
            "responses": {**refusals(ANY_CALL), **responses},
        }
    }


class Alive(msgspec.Struct, frozen=True):
    """The process turns its event loop."""

    alive: bool


IN_CHANNEL = VERSION_PATH + "/channels/{channel}" + STREAMS_PATH
LIVE_SCHEMAS: tuple[type[msgspec.Struct], ...] = (StreamRequest, StreamEvent, ProblemMessage, Readiness, Alive)
LIVE_PATHS: dict[str, dict[str, Any]] = {
    VERSION_PATH + STREAMS_PATH: {"get": _websocket("")},
    IN_CHANNEL: {"get": _websocket("channel_")},
    VERSION_PATH + STREAMS_PATH + "/{topic}": {"get": _server_sent("")},
    IN_CHANNEL + "/{topic}": {"get": _server_sent("channel_")},
    ALIVE: _probe(
        "alive",
        "Whether the process lives",
        "For a supervisor: whatever is wrong beyond that, no restart mends.",
        {"200": json_answer("Alive", "It does.")},
    ),
    READY: _probe(
        "ready",
        "Whether the node can serve people",
        "For a load balancer, with the reasons why not.",
        {"200": json_answer("Readiness", "It can."), "503": json_answer("Readiness", "It cannot, yet.")},
    ),
    METRICS: _probe(
        "metrics",
        "Metrics for Prometheus",
        "For this machine alone; `node.NAME.metrics_port` opens a port for others.",
        {
            "200": {
                "description": "As the header Accept asks: Prometheus' text, or OpenMetrics.",
                "content": {"text/plain": {}, "application/openmetrics-text": {}},
            },
            **refusals(("METRICS_ELSEWHERE",)),
        },
    ),
}
