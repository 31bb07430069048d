"""`wattq verify proof`: valid, absent, invalid, unreadable, each with its exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ledgers import GENESIS, certificate_of, envelope, open_ledger, run_block
from typer.testing import CliRunner

from cli.main import app
from ledger.genesis import write_genesis
from ledger.proofs import to_json


@pytest.fixture
def proofs(tmp_path: Path) -> dict[str, Any]:
    write_genesis(tmp_path / "genesis.json", GENESIS)
    ledger = open_ledger(tmp_path / "ledger")
    run_block(ledger, envelope(args={"key": "a", "value": 5}))
    ledger.certify([certificate_of(ledger.block(1).statement)])
    prover = ledger.prover()
    assert prover is not None
    made = {key: to_json(prover.whole(key)) for key in ("box/a", "box/b")}
    ledger.close()
    return made


def verify(directory: Path, content: str, *options: str) -> tuple[int, str]:
    file = directory / "proof.json"
    file.write_text(content)
    told = CliRunner().invoke(app, ["verify", "proof", str(file), "-g", str(directory / "genesis.json"), *options])
    return told.exit_code, told.output


def test_a_proof_of_presence_and_one_of_absence_are_told(tmp_path: Path, proofs: dict[str, Any]) -> None:
    code, output = verify(tmp_path, json.dumps({"proof": proofs["box/a"]}))
    assert code == 0
    assert "box/a holds 5, written in block 1, place 0" in output
    code, output = verify(tmp_path, json.dumps(proofs["box/b"]))
    assert code == 0
    assert "box/b is absent at block 1" in output
    code, output = verify(tmp_path, json.dumps(proofs["box/a"]), "--json")
    assert (code, json.loads(output)["value"], json.loads(output)["version"]) == (0, 5, [1, 0])


def test_an_invalid_proof_and_an_unreadable_file_have_exit_codes_of_their_own(
    tmp_path: Path, proofs: dict[str, Any]
) -> None:
    proofs["box/a"]["entry"]["key"] = "box/b"
    code, output = verify(tmp_path, json.dumps(proofs["box/a"]))
    assert code == 1
    assert "INVALID, branches" in output
    code, output = verify(tmp_path, json.dumps([]), "--json")
    assert (code, json.loads(output)["fault"]) == (1, "malformed")
    assert verify(tmp_path, "{")[0] == 2
