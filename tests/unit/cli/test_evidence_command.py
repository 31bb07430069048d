"""`wattq evidence`: files that convict by the genesis file alone, and files that do not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from ca.keys import SigningKey
from cli.main import app
from ledger.genesis import Genesis, GenesisLimits, GenesisOrganisations, GenesisValidator, write_genesis
from ledger.layout import pack
from pbft.epoch import Boundary, Epoch, Validator
from pbft.evidence import Evidence, EvidenceKind, conflict
from pbft.evidence_store import EVIDENCE_MAX, VERSION, EvidenceStore, StoredEvidence
from pbft.messages import ExecutionCertificate, Prepare, Scope, Statement, statement_bytes

KEYS = [SigningKey.from_seed(bytes([i])) for i in range(5)]
LIMITS = GenesisLimits(40_960, 500, 1_000_000, 100_000_000, 8, 16)


@dataclass
class Case:
    """A network of four, and where its evidence goes. The fifth key takes validator 3's place in epoch 1."""

    home: Path
    genesis: Genesis

    @property
    def genesis_file(self) -> str:
        return str(self.home / "genesis.json")

    def scope(self, epoch: int) -> Scope:
        return Scope(self.genesis.chain_id, "main", epoch)

    def boundary(self) -> bytes:
        """The certified boundary at block 16, after which the fifth key is validator 3."""
        validators = (*self.genesis.epoch.validators[:3], Validator("newcomer", KEYS[4].public_key))
        epoch = Epoch(1, 17, validators)
        statement = Statement(16, bytes(32), bytes(32), bytes(32), epoch.hash())
        signed = statement_bytes(self.scope(0), statement)
        signatures = tuple((index, KEYS[index].sign(signed)) for index in (0, 1, 2))
        return pack(Boundary(epoch, ExecutionCertificate(0, statement, signatures)))

    def lie(self, accused: int, key: SigningKey, epoch: int = 0) -> Evidence:
        """Two prepares of one replica for one place."""
        votes = [Prepare(0, 9, sha256(bytes([i])).digest(), accused) for i in range(2)]
        signed = [msgspec.structs.replace(v, signature=key.sign(v.signed(self.scope(epoch)))) for v in votes]
        return conflict(EvidenceKind.TWO_PREPARES, self.scope(epoch), *signed)

    def kept(self, evidence: Evidence, *boundaries: bytes) -> str:
        store = EvidenceStore(self.home / "data" / "evidence", lambda epoch: boundaries)
        assert store.keep(evidence)
        return str(store.files()[-1])

    def verify(self, file: str) -> tuple[int, dict[str, object]]:
        result = CliRunner().invoke(app, ["evidence", "verify", file, "--genesis", self.genesis_file, "--json"])
        return result.exit_code, json.loads(result.stdout or "{}")


@pytest.fixture
def case(tmp_path: Path) -> Case:
    genesis = Genesis(
        network="test",
        channel="main",
        lab=False,
        time_ms=1,
        validators=tuple(GenesisValidator(f"node{i + 1}", KEYS[i].public_key) for i in range(4)),
        roots=(),
        users=(),
        parameters={},
        contracts={},
        limits=LIMITS,
        organisations=GenesisOrganisations(("A",), 1),
    )
    write_genesis(tmp_path / "genesis.json", genesis)
    return Case(tmp_path, genesis)


def test_a_lie_convicts_its_teller_by_the_genesis_file_alone(case: Case) -> None:
    code, told = case.verify(case.kept(case.lie(2, KEYS[2])))
    assert (code, told["valid"], told["accused"], told["kind"]) == (0, True, "node3", "two_prepares")


def test_a_lie_in_a_later_epoch_convicts_through_its_boundary(case: Case) -> None:
    code, told = case.verify(case.kept(case.lie(3, KEYS[4], epoch=1), case.boundary()))
    assert (code, told["accused"], told["epoch"]) == (0, "newcomer", 1)


def test_without_the_boundary_a_later_epochs_lie_proves_nothing(case: Case) -> None:
    code, told = case.verify(case.kept(case.lie(3, KEYS[4], epoch=1)))
    assert (code, told["valid"]) == (1, False)


def test_what_another_key_signed_convicts_nobody(case: Case) -> None:
    code, told = case.verify(case.kept(case.lie(2, KEYS[1])))
    assert (code, told["valid"]) == (1, False)


def test_another_networks_evidence_is_invalid_here(case: Case) -> None:
    scope = Scope(bytes(32), "main", 0)
    votes = [Prepare(0, 9, sha256(bytes([i])).digest(), 2) for i in range(2)]
    signed = [msgspec.structs.replace(v, signature=KEYS[2].sign(v.signed(scope))) for v in votes]
    code, told = case.verify(case.kept(conflict(EvidenceKind.TWO_PREPARES, scope, *signed)))
    assert (code, told["valid"]) == (1, False)


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, msgspec.msgpack.encode((VERSION + 1,)), b"\xc1"])
def test_bytes_that_are_no_evidence_cannot_be_read(case: Case, data: bytes) -> None:
    path = case.home / "x.evidence"
    path.write_bytes(data)
    assert case.verify(str(path))[0] == 2
    assert CliRunner().invoke(app, ["evidence", "list", "-d", str(case.home)]).exit_code == 2


def test_another_version_cannot_be_read(case: Case) -> None:
    path = case.home / "x.evidence"
    path.write_bytes(msgspec.msgpack.encode(StoredEvidence(VERSION + 1, case.lie(2, KEYS[2]), ())))
    assert case.verify(str(path))[0] == 2


def test_the_list_names_every_file_in_every_node(case: Case) -> None:
    files = {case.kept(case.lie(index, KEYS[index])) for index in (1, 2)}
    result = CliRunner().invoke(app, ["evidence", "list", "--directory", str(case.home), "--json"])
    rows = json.loads(result.stdout)
    assert result.exit_code == 0
    assert {row["file"] for row in rows} == files
    assert {row["accused"] for row in rows} == {1, 2}


def test_the_same_evidence_is_kept_once_and_never_more_than_there_is_room_for(case: Case) -> None:
    store = EvidenceStore(case.home / "evidence", lambda epoch: ())
    lie = case.lie(1, KEYS[1])
    assert store.keep(lie)
    assert not store.keep(lie)
    for number in range(EVIDENCE_MAX - 1):
        (case.home / "evidence" / f"{number}.evidence").touch()
    store = EvidenceStore(case.home / "evidence", lambda epoch: ())
    again = store.files()
    assert not store.keep(case.lie(2, KEYS[2]))
    assert store.files() == again
