"""The OpenAPI document: complete, readable by others' tools, and the same as what the sources and docs/API.md say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_node import FakeNode
from prometheus_client import CollectorRegistry

from api.measures import Measures
from api.openapi import document
from api.operations import Operations
from api.options import RestOptions
from api.pages import page_routes
from api.problems import document_of
from api.rest import make_app
from api.stream_doors import stream_routes
from sdk.errors import Problem
from sdk.method_texts import PARAMETERS, TEXTS
from sdk.methods import METHODS
from sdk.problem_codes import CODES

ROOT = Path(__file__).parents[3]
OPENAPI = document()


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, verbs in OPENAPI["paths"].items():
        for verb, operation in verbs.items():
            yield path, verb, operation


def references(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        if isinstance(name := tree.get("$ref"), str):
            yield name
        for value in tree.values():
            yield from references(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from references(value)


def test_every_method_has_words_of_its_own() -> None:
    assert set(METHODS) <= set(TEXTS)
    for name in METHODS:
        text = TEXTS[name]
        assert text.summary, name
        assert text.description.endswith("."), name
        assert text.tag in {tag["name"] for tag in OPENAPI["tags"]}, name


def test_every_operation_is_whole() -> None:
    seen = set()
    for path, verb, operation in operations():
        assert operation["operationId"] not in seen, path
        seen.add(operation["operationId"])
        assert operation["summary"], path
        assert operation["description"], path
        assert {"400", "429", "500"} <= set(operation["responses"]), (path, verb)
        assert set(re.findall(r"{(\w+)}", path)) == {
            each["name"] for each in operation["parameters"] if each["in"] == "path"
        }
        for parameter in operation["parameters"]:
            assert parameter["description"].endswith("."), (path, parameter["name"])
            assert parameter["schema"], (path, parameter["name"])


def served() -> set[tuple[str, str]]:
    """What a node serves, but for the page's files: as ``node.py`` puts it together."""
    node: Any = FakeNode()
    app = make_app(node, RestOptions())
    app.add_routes(stream_routes(node))
    Operations(node, CollectorRegistry(), Measures(CollectorRegistry())).attach(app)
    pages = {route.path for route in page_routes()}
    return {
        (re.sub(r"{(\w+):.*?\]\+}", r"{\1}", route.resource.canonical), route.method.lower())
        for route in app.router.routes()
        if route.resource is not None and route.method not in ("HEAD", "*") and route.resource.canonical not in pages
    }


def test_every_route_that_is_served_is_described_and_no_other() -> None:
    described = {each[:2] for each in operations()}
    assert {path for path, _ in served() ^ described if not path.startswith("/static/")} == set()


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    named = {f"#/components/schemas/{name}" for name in OPENAPI["components"]["schemas"]}
    assert set(references(OPENAPI)) == named


def test_patterns_are_ecmascripts() -> None:
    r"""Found by schemathesis: ``\Z`` is Python's own, and other languages take it for a letter."""
    assert "\\Z" not in str(OPENAPI)


def test_every_field_that_is_sent_is_described() -> None:
    for method in METHODS.values():
        for field in method.params.__struct_fields__:
            assert field in PARAMETERS, f"{method.name}: {field}"


@pytest.mark.parametrize("room", ["api", "sdk"])
def test_every_code_in_the_sources_is_in_the_table(room: str) -> None:
    pattern = re.compile(r"(?:Problem|_refused|_refusal)\(\s*\"([A-Z_]+)\"", re.MULTILINE)
    found = {code for path in (ROOT / room).rglob("*.py") for code in pattern.findall(path.read_text(encoding="utf-8"))}
    assert found - set(CODES) == set()


def test_every_code_says_what_it_means_and_with_which_status() -> None:
    for code, text in CODES.items():
        assert re.fullmatch(r"[A-Z][A-Z_]+", code)
        assert 400 <= text.status <= 504
        assert text.sentence.endswith("."), code
        assert len(text.sentence) > 20, code


def test_the_documents_table_of_codes_is_the_sources() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (\d+) \| (.*) \|$", (ROOT / "docs/API.md").read_text(encoding="utf-8"), re.M)
    assert {code: (int(status), sentence) for code, status, sentence in rows} == {
        code: (text.status, text.sentence) for code, text in CODES.items()
    }


def test_every_code_of_an_operation_is_in_the_table() -> None:
    for path, _, operation in operations():
        for status, response in operation["responses"].items():
            for code in re.findall(r"`([A-Z_]+)`", response["description"]):
                assert str(CODES[code].status) == status, (path, code)


def test_a_problem_document_is_what_the_schema_says() -> None:
    schema = OPENAPI["components"]["schemas"]["ProblemDocument"]
    assert set(schema["required"]) == {"type", "title", "status", "code", "detail"}
    assert set(document_of(Problem("A", "B.")).__struct_fields__) == set(schema["properties"])
