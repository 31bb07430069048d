"""Every text of the page exists in both languages, with the same parameters, and none is asked for that does not."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from page_calls import STATIC, page_calls

from api.enrolment import STATUS_OF_REASON
from contracts.parameters import MARKET_PARAMETERS
from sdk.calls import auction, credit, market, offers
from sdk.problem_codes import CODES

pytestmark = pytest.mark.needs("node")
ASKED = re.compile(r'\bt\("([a-zA-Z_.]+)"')
"""Keys that are written out; those that are put together from parts are named below."""
STATUSES = (
    "open", "taken", "cancelled", "expired", "filled", "amended", "barred", "full", "accepted", "countered", "declined",
    "withdrawn", "sealed", "revealed", "forfeited", "matched", "proposed", "overdue", "disputed", "settled", "resolved",
    "active", "claimed", "cut", "void",
)  # fmt: skip
"""Every state of the market's documents, docs/MARKET.md."""
ALONE = {"cancel_order", "cancel_listing", "decline", "withdraw"}
"""What nobody else signs: it holds no money of the account."""


@pytest.fixture(scope="module")
def tables() -> Any:
    (found,) = page_calls([("i18n/index.js", "tables", [])])
    return found


def test_both_languages_have_the_same_texts_with_the_same_parameters(tables: Any) -> None:
    english, chinese = tables["en"], tables["zh"]
    assert set(english) == set(chinese)
    braces = re.compile(r"\{(\w+)\}")
    differing = [key for key in english if set(braces.findall(english[key])) != set(braces.findall(chinese[key]))]
    assert differing == []


def test_no_text_is_asked_for_that_does_not_exist(tables: Any) -> None:
    asked = {key for file in sorted(STATIC.rglob("*.js")) for key in ASKED.findall(file.read_text(encoding="utf-8"))}
    assert asked - set(tables["en"]) == set()
    assert len(asked) > 200


def test_every_state_parameter_and_role_has_its_word(tables: Any) -> None:
    wanted = {f"status.{status}" for status in STATUSES} | {f"parameter.{name}" for name in MARKET_PARAMETERS}
    assert wanted - set(tables["en"]) == set()


def test_whoever_signs_second_is_told_in_words_what_and_for_what(tables: Any) -> None:
    """A proposal stood there with the contract's own names, and amounts in millionths."""
    calls = [
        (contract, name, made)
        for contract, module in {"market": market, "auction": auction, "offers": offers, "credit": credit}.items()
        for name, made in inspect.getmembers(module, inspect.isfunction)
        if inspect.signature(made).return_annotation == "Call"
    ]
    wanted = {f"call.{contract}.{name}" for contract, name, _ in calls if name not in ALONE}
    wanted |= {f"argument.{argument}" for *_, made in calls for argument in inspect.signature(made).parameters}
    assert len(calls) > 15
    assert wanted - set(tables["en"]) == set()


def test_what_registering_people_are_refused_for_is_told_in_their_language(tables: Any) -> None:
    """Nobody reads codes; what a program of its own has to mend is told in English."""
    told = {*STATUS_OF_REASON, *(code for code in CODES if code.startswith("CODE_"))} - {"CERTIFICATE_UNKNOWN"}
    assert {f"problem.{code}" for code in told} - set(tables["en"]) == set()
