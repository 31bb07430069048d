"""Every refusal of a transaction has one status: from one table, which the documentation repeats."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts.codes import TrapCode
from contracts.validation import Violation
from ledger.codes import RefusalCode
from sdk.statuses import FAILED, RETRIED_STATUS, STATUSES, status_of

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = "\n".join(path.read_text() for path in (ROOT / "contracts" / "shipped").glob("*.py"))
CONTRACT_CODES = set(re.findall(r'"([A-Z][A-Z_]+)", "[A-Z]', SHIPPED))
ALL = {str(code) for kind in (TrapCode, RefusalCode, Violation) for code in kind} | CONTRACT_CODES


def test_the_table_names_only_codes_that_exist() -> None:
    assert len(CONTRACT_CODES) > 30
    assert STATUSES.keys() <= ALL


@pytest.mark.parametrize("code", sorted(ALL))
def test_a_refusal_is_the_callers_fault_and_final_unless_the_pool_is_full(code: str) -> None:
    assert (status_of(code) in RETRIED_STATUS) == (code == "POOL_FULL")
    assert 400 <= status_of(code) < 500 or code == "POOL_FULL"


def test_who_one_is_and_conflicts_have_statuses_of_their_own() -> None:
    assert {status_of(code) for code in ("ROLE_REQUIRED", "SUSPENDED", "CERTIFICATE_REVOKED", "NOT_YOURS")} == {403}
    assert {status_of(code) for code in ("NONCE_USED", "NOT_ENOUGH_LEFT", "READING_CONFLICT")} == {409}
    assert {status_of(code) for code in ("INTERVAL_CLOSED", "ENERGY_INVALID", "NOT_FOUND", "NEW_ONE")} == {FAILED}


def test_the_documentation_has_the_same_table() -> None:
    rows = re.findall(r"^\| (\d{3}) \| ((?:`[A-Z_]+`(?:, )?)+)", (ROOT / "docs" / "API.md").read_text(), re.MULTILINE)
    told = {code: int(status) for status, codes in rows for code in re.findall(r"`([A-Z_]+)`", codes)}
    assert {code: told.get(code) for code in STATUSES} == STATUSES
