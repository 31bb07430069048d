"""The CA's directory: files, register, revocations, and admission codes that admit exactly once."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import ca.authority
from ca.admission import Admissions
from ca.authority import HOUR_MS, AdmissionRefused, Authority, AuthorityError, Issued
from ca.certificates import InvalidCertificate, Role, create_request
from ca.keys import InvalidKey, SigningKey
from ca.messages import Application
from ca.register import Register

RACES = 10


def refusal(authority: Authority, request_der: bytes, code: str) -> str:
    with pytest.raises(AdmissionRefused) as caught:
        authority.enrol(request_der, code)
    return caught.value.reason


def enrol_elsewhere(directory: Path, request_der: bytes, code: str) -> str:
    """In another process: the serial, or the reason of the refusal."""
    try:
        return Authority.open(directory).enrol(request_der, code).serial
    except AdmissionRefused as refused:
        return refused.reason


def test_the_key_and_the_directory_are_its_owners_alone(tmp_path: Path, authority: Authority) -> None:
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "ca" / "root.key").stat().st_mode & 0o777 == 0o600


def test_a_ca_is_never_made_over_another(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(AuthorityError, match="already"):
        Authority.init(tmp_path / "ca", "Other")
    assert Authority.open(tmp_path / "ca").root_der == authority.root_der


def test_a_refused_name_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InvalidCertificate):
        Authority.init(tmp_path / "new", "o" * 65)
    assert not (tmp_path / "new").exists()


def test_what_opens_no_ca(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(AuthorityError, match="holds no CA"):
        Authority.open(tmp_path / "missing")
    (tmp_path / "ca" / "root.key").unlink()
    with pytest.raises(InvalidKey):
        Authority.open(tmp_path / "ca")


def test_the_register_survives_opening_again(tmp_path: Path, authority: Authority, issued: Issued) -> None:
    again = Authority.open(tmp_path / "ca")
    assert again.issued() == [issued]
    assert again.show(issued.serial) == issued
    assert again.show("00") is None


def test_a_refused_request_is_not_registered(authority: Authority, request_der: bytes) -> None:
    with pytest.raises(InvalidCertificate):
        authority.issue(request_der, "alice", "o" * 65, Role.SELLER)
    with pytest.raises(InvalidCertificate):
        authority.issue(request_der[:-1], "alice", "house", Role.SELLER)
    assert authority.issued() == []


def test_a_damaged_register_is_named(tmp_path: Path, authority: Authority, issued: Issued) -> None:
    with (tmp_path / "ca" / "issued.jsonl").open("a") as file:
        file.write("{damaged\n")
    with pytest.raises(AuthorityError, match=r"issued\.jsonl is damaged"):
        authority.issued()


def test_a_revocation_is_noted_once(tmp_path: Path, authority: Authority, issued: Issued) -> None:
    assert not authority.is_revoked(issued.serial)
    authority.revoke(issued.serial, "key lost")
    assert Authority.open(tmp_path / "ca").is_revoked(issued.serial)
    with pytest.raises(AuthorityError, match="already"):
        authority.revoke(issued.serial, "again")
    with pytest.raises(AuthorityError, match="no certificate"):
        authority.revoke("00", "unknown")
    lines = (tmp_path / "ca" / "revoked.jsonl").read_text().splitlines()
    assert [json.loads(line)["reason"] for line in lines] == ["key lost"]


def test_a_code_admits_once(authority: Authority, request_der: bytes) -> None:
    code = authority.new_admission_code(Role.SELLER)
    issued = authority.enrol(request_der, code)
    assert refusal(authority, request_der, code) == "CODE_USED"
    assert authority.issued() == [issued]


def test_codes_are_kept_as_hashes_only(tmp_path: Path, authority: Authority) -> None:
    code = authority.new_admission_code(Role.SELLER)
    files = [path for path in (tmp_path / "ca").iterdir() if path.is_file()]
    assert tmp_path / "ca" / "codes.jsonl" in files
    assert not [path for path in files if code.encode() in path.read_bytes()]


def test_a_code_fits_its_role_and_name_only_and_is_not_spent_by_a_refusal(
    authority: Authority, request_der: bytes
) -> None:
    buyers = authority.new_admission_code(Role.BUYER)
    bobs = authority.new_admission_code(Role.SELLER, "bob")
    assert refusal(authority, request_der, buyers) == "CODE_OTHER_ROLE"
    assert refusal(authority, request_der, bobs) == "CODE_OTHER_NAME"
    bob = create_request(SigningKey.generate(), "bob", "house", Role.SELLER)
    assert authority.enrol(bob, bobs).name == "bob"


def test_a_code_for_who_governs_admits_to_its_organisation_only(authority: Authority) -> None:
    with pytest.raises(InvalidCertificate, match="organisation"):
        authority.new_admission_code(Role.OPERATOR, "op4")
    code = authority.new_admission_code(Role.OPERATOR, "op4", "Grid South")
    requests = [create_request(SigningKey.generate(), "op4", at, Role.OPERATOR) for at in ("Grid North", "Grid South")]
    assert refusal(authority, requests[0], code) == "CODE_OTHER_ORGANISATION"
    assert authority.enrol(requests[1], code).organisation == "Grid South"


@pytest.mark.parametrize(("role", "expected"), [("operator", "CODE_OTHER_ORGANISATION"), ("seller", "seller")])
def test_codes_of_before_that_name_no_organisation_admit_who_trades(
    tmp_path: Path, authority: Authority, role: str, expected: str
) -> None:
    code, file = authority.new_admission_code(role, organisation="Grid"), tmp_path / "ca" / "codes.jsonl"
    line = {key: value for key, value in json.loads(file.read_text()).items() if key != "organisation"}
    file.write_text(json.dumps(line) + "\n")
    fresh, request = Authority.open(tmp_path / "ca"), create_request(SigningKey.generate(), "o", "Grid", role)
    told = fresh.enrol(request, code).role if role == "seller" else refusal(fresh, request, code)
    assert told == expected


def test_a_code_gives_a_name_that_is_taken_only_if_it_says_so(
    authority: Authority, request_der: bytes, issued: Issued
) -> None:
    other = create_request(SigningKey.generate(), issued.name, issued.organisation, Role.SELLER)
    for names in ((), (issued.name,), ("", issued.organisation)):
        assert refusal(authority, other, authority.new_admission_code(Role.SELLER, *names)) == "NAME_TAKEN"
    both = authority.new_admission_code(Role.SELLER, issued.name, issued.organisation)
    assert authority.enrol(other, both).name == issued.name


@pytest.mark.parametrize("name", [" anna ", "a" * 300, "a\nb"])
def test_a_code_that_nobody_could_use_is_not_made(tmp_path: Path, authority: Authority, name: str) -> None:
    for names in ((name, ""), ("", name)):
        with pytest.raises(InvalidCertificate, match="name"):
            authority.new_admission_code(Role.SELLER, *names)
    assert not (tmp_path / "ca" / "codes.jsonl").exists()


@pytest.mark.parametrize("code", ["", "no-such-code", "\ud800", "ü" * 1_000])
def test_unknown_codes(authority: Authority, request_der: bytes, code: str) -> None:
    authority.new_admission_code(Role.SELLER)
    assert refusal(authority, request_der, code) == "CODE_UNKNOWN"


def test_a_code_expires(authority: Authority, request_der: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    code = authority.new_admission_code(Role.SELLER, valid_hours=2)
    made_ms = ca.authority.now_ms()
    monkeypatch.setattr(ca.authority, "now_ms", lambda: made_ms + 2 * HOUR_MS + 1)
    assert refusal(authority, request_der, code) == "CODE_EXPIRED"


def test_a_crash_before_the_certificate_counts_leaves_the_code_unspent(
    authority: Authority, request_der: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = authority.new_admission_code(Role.SELLER)

    def crash(_: Register, issued: Issued) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Register, "add", crash)
        with pytest.raises(KeyboardInterrupt):
            authority.enrol(request_der, code)
    issued = authority.enrol(request_der, code)
    assert refusal(authority, request_der, code) == "CODE_USED"
    assert authority.issued() == [issued]


def test_a_code_that_was_spent_before_the_register_told_so_stays_spent(
    tmp_path: Path, authority: Authority, request_der: bytes
) -> None:
    code = authority.new_admission_code(Role.SELLER)
    issued = authority.enrol(request_der, code)
    spent = json.dumps({"used": issued.code, "serial": issued.serial}) + "\n"
    (tmp_path / "ca" / "codes.jsonl").write_text((tmp_path / "ca" / "codes.jsonl").read_text() + spent)
    register = tmp_path / "ca" / "issued.jsonl"
    register.write_text(json.dumps({k: v for k, v in json.loads(register.read_text()).items() if k != "code"}) + "\n")
    assert refusal(Authority.open(tmp_path / "ca"), request_der, code) == "CODE_USED"


FILES = ("issued", "revoked", "codes", "audit", "registrations")


def test_what_a_crash_tore_is_cut_and_all_goes_on(tmp_path: Path, authority: Authority, key: SigningKey) -> None:
    directory = tmp_path / "ca"
    names = ("a", "house", Role.SELLER)
    authority.revoke(authority.issue(create_request(key, *names), *names).serial, "lost")
    authority.new_admission_code(Role.SELLER)
    waits = Application(request=create_request(SigningKey.generate(), "b", "house", Role.SELLER))
    told = Admissions(authority).apply(waits)
    whole = {name: (directory / f"{name}.jsonl").read_bytes() for name in FILES}
    for name, data in whole.items():
        (directory / f"{name}.jsonl").write_bytes(data + data.splitlines()[-1][:-1])
    for fresh in (authority, Authority.open(directory)):
        assert Admissions(fresh).find(told.registration) == told
        assert (len(fresh.issued()), fresh.is_revoked(fresh.issued()[0].serial)) == (1, True)
    assert authority.enrol(waits.request, authority.new_admission_code(Role.SELLER)).name == "b"
    Authority.check_log(directory)
    assert all((directory / f"{name}.jsonl").read_bytes().startswith(data) for name, data in whole.items())


def test_a_reason_is_bounded_so_that_the_audit_log_can_be_read(authority: Authority, issued: Issued) -> None:
    for length in (201, 17_000):
        with pytest.raises(AuthorityError, match="reason"):
            authority.revoke(issued.serial, "x" * length)
    authority.revoke(issued.serial, "\U0001f600" * 200)
    authority.new_admission_code(Role.SELLER, "\U0001f600" * 64, "\U0001f600" * 64)
    assert len(Authority.check_log(authority.folder.directory)) == 3


def test_two_processes_with_one_code(tmp_path: Path, authority: Authority, request_der: bytes) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        for _ in range(RACES):
            code = authority.new_admission_code(Role.SELLER)
            tries = [pool.submit(enrol_elsewhere, tmp_path / "ca", request_der, code) for _ in range(2)]
            outcomes = [attempt.result(timeout=60) for attempt in tries]
            assert outcomes.count("CODE_USED") == 1
    assert len(authority.issued()) == RACES
