"""The CA's directory beyond the register: an encrypted key, the audit log, intermediates, lifetimes, its own server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import ca.lifetimes
from ca.authority import Authority, AuthorityError
from ca.certificates import (
    MARKET_ROLES,
    InvalidCertificate,
    RequestFacts,
    Role,
    certificate_facts,
    create_request,
    root_fingerprint,
)
from ca.intermediate import begin, install
from ca.issuing import attributes_of, make_certificate
from ca.keys import InvalidKey, SigningKey
from ca.lifetimes import DAY_MS, sentence_about, status_of
from ca.server import ServerCertificate

PASSPHRASE = "correct horse battery staple"


def test_an_encrypted_key_opens_with_its_passphrase_only(tmp_path: Path, request_der: bytes) -> None:
    Authority.init(tmp_path / "ca", "Grid", passphrase=PASSPHRASE)
    text = (tmp_path / "ca" / "root.key").read_text()
    assert text.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert Authority.open(tmp_path / "ca", PASSPHRASE).issue(request_der, "a", "h", Role.SELLER).name == "a"
    for wrong, why in (("", "encrypted"), ("another passphrase", "root.key")):
        with pytest.raises(InvalidKey, match=why):
            Authority.open(tmp_path / "ca", wrong)


def test_a_short_passphrase_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InvalidKey, match="12 characters"):
        Authority.init(tmp_path / "ca", "Grid", passphrase="short")
    assert not (tmp_path / "ca" / "root.key").exists()


@pytest.mark.parametrize("size", [1, 40, 64])
def test_attributes_of_every_length_are_read_again(authority: Authority, request_der: bytes, size: int) -> None:
    for count in range(1, 7):  # lengths of one, two and three bytes
        given = {f"n{n}": "v" * size for n in range(count)}
        issued = authority.issue(request_der, "a", "h", Role.SELLER, attributes=given)
        assert attributes_of(issued.certificate) == given


def test_attributes_that_cannot_be(authority: Authority, request_der: bytes) -> None:
    for given in ({"": "v"}, {"n": ""}, {"n": "v" * 65}, {"n": "a\nb"}, {f"n{n}": "v" for n in range(17)}):
        with pytest.raises(InvalidCertificate, match="attributes"):
            authority.issue(request_der, "a", "h", Role.SELLER, attributes=given)
        with pytest.raises(InvalidCertificate, match="attributes"):
            authority.new_admission_code(Role.SELLER, attributes=given)
    assert authority.issued() == []


# --------------------------------------------------------------------------------------------- audit


def busy(authority: Authority, request_der: bytes) -> Path:
    """Does four things; the audit log."""
    code = authority.new_admission_code(Role.SELLER)
    serial = authority.enrol(request_der, code).serial
    authority.issue(request_der, "a", "h", Role.BUYER)
    authority.revoke(serial, "key lost")
    return authority.folder.directory / "audit.jsonl"


def test_the_audit_log_tells_what_was_done(authority: Authority, request_der: bytes) -> None:
    log = busy(authority, request_der)
    entries = Authority.check_log(log.parent)
    assert [(e.number, e.what) for e in entries] == [(0, "code"), (1, "issued"), (2, "issued"), (3, "revoked")]
    assert entries[1].by == "code"
    assert entries[3].facts["reason"] == "key lost"


@pytest.mark.parametrize("place", range(4))
def test_no_entry_can_be_changed_or_dropped_unseen(authority: Authority, request_der: bytes, place: int) -> None:
    log = busy(authority, request_der)
    lines = log.read_text().splitlines()
    newest = Authority.check_log(log.parent)[-1].hash
    changed = json.loads(lines[place]) | {"by": "somebody else"}
    for forged in ([*lines[:place], json.dumps(changed), *lines[place + 1 :]], lines[:place] + lines[place + 1 :]):
        log.write_text("\n".join(forged) + "\n")
        with pytest.raises(AuthorityError):
            Authority.check_log(log.parent, newest)


def test_a_certificate_that_is_not_in_the_log_is_found(authority: Authority, request_der: bytes) -> None:
    log = busy(authority, request_der)
    lines = log.read_text().splitlines()
    log.write_text("\n".join(lines[:2]) + "\n")
    with pytest.raises(AuthorityError, match="not in the audit log"):
        Authority.check_log(log.parent)


# ------------------------------------------------------------------------------------- intermediates


def coop(tmp_path: Path, authority: Authority, passphrase: str = "") -> Authority:
    """An intermediate CA below the root."""
    request = begin(tmp_path / "coop", "North Coop", passphrase)
    made = authority.issue_intermediate(request, "North Coop", 100)
    install(tmp_path / "coop", pem(made) + pem(authority.root_der), passphrase)
    return Authority.open(tmp_path / "coop", passphrase)


def pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def test_an_intermediate_certifies_who_trades(tmp_path: Path, authority: Authority, request_der: bytes) -> None:
    below = coop(tmp_path, authority, PASSPHRASE)
    issued = below.issue(request_der, "alice", "house", Role.SELLER)
    trusted = (authority.root_der, below.chain[0])
    assert certificate_facts(issued.certificate_der, trusted).issuer == root_fingerprint(below.chain[0])
    with pytest.raises(InvalidCertificate, match="no CA of this network"):
        certificate_facts(issued.certificate_der, (authority.root_der,))
    assert issued.not_after_ms <= ca.lifetimes.not_after_ms_of(below.certificate)


@pytest.mark.parametrize("role", sorted(set(Role) - MARKET_ROLES))
def test_an_intermediate_certifies_nobody_who_governs_or_validates(
    tmp_path: Path, authority: Authority, role: Role
) -> None:
    below, key = coop(tmp_path, authority), SigningKey.generate()
    with pytest.raises(InvalidCertificate, match="an intermediate CA certifies no"):
        below.issue(create_request(key, "eve", "x", role), "eve", "x", role)
    assert below.issued() == []
    with pytest.raises(InvalidCertificate, match="only a root CA admits"):
        below.new_admission_code(role, "o", "Coop")


def test_a_forged_certificate_of_an_intermediates_operator_is_read_by_nobody(
    tmp_path: Path, authority: Authority
) -> None:
    """Its keeper needs none of our code to sign whatever it likes."""
    below, key = coop(tmp_path, authority), SigningKey.generate()
    asked = RequestFacts("eve", "x", Role.OPERATOR, key.public_key)
    forged = make_certificate(SigningKey.load(tmp_path / "coop" / "intermediate.key"), below.certificate, asked, 1, ())
    with pytest.raises(InvalidCertificate, match="certifies no operator"):
        certificate_facts(forged.public_bytes(Encoding.DER), below.chain)


@pytest.mark.needs("openssl")
def test_openssl_follows_the_chain(tmp_path: Path, authority: Authority, request_der: bytes) -> None:
    below = coop(tmp_path, authority)
    (tmp_path / "a.crt").write_bytes(below.issue(request_der, "alice", "house", Role.SELLER).certificate_pem)
    command = ["openssl", "verify", "-x509_strict", "-CAfile", str(tmp_path / "ca" / "root.crt")]
    command += ["-untrusted", str(tmp_path / "coop" / "intermediate.crt"), str(tmp_path / "a.crt")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_what_is_not_installed(tmp_path: Path, authority: Authority) -> None:
    request = begin(tmp_path / "coop", "North Coop")
    made, root = pem(authority.issue_intermediate(request, "North Coop", 100)), pem(authority.root_der)
    stranger = Authority.init(tmp_path / "other", "Other")
    foreign = pem(stranger.issue_intermediate(request, "North Coop", 100))
    another = pem(authority.issue_intermediate(begin(tmp_path / "third", "Third"), "Third", 100))
    wrong = {
        b"noise": "two certificates",
        made: "two certificates",
        root + made: "first",
        foreign + root: "did not issue",
        another + root: "another key",
    }
    for chain, why in wrong.items():
        with pytest.raises(InvalidCertificate, match=why):
            install(tmp_path / "coop", chain)
    assert not any((tmp_path / "coop" / name).exists() for name in ("intermediate.crt", "root.crt"))
    with pytest.raises(AuthorityError, match="already"):
        begin(tmp_path / "coop", "North Coop")
    with pytest.raises(AuthorityError, match="already"):
        begin(tmp_path / "ca", "North Coop")


def test_there_is_nothing_below_an_intermediate(tmp_path: Path, authority: Authority) -> None:
    below = coop(tmp_path, authority)
    with pytest.raises(InvalidCertificate, match="end certificates only"):
        below.issue_intermediate(begin(tmp_path / "third", "Third"), "Third", 10)


# ------------------------------------------------------------------------------- lifetimes and server


def test_a_certificate_is_spoken_of_from_thirty_days_on() -> None:
    end = 1_000 * DAY_MS
    marks = {days: status_of("node", end, end - days * DAY_MS).warning_days for days in (31, 30, 29, 7, 6, 1, 0, -1)}
    assert marks == {31: 0, 30: 0, 29: 30, 7: 30, 6: 7, 1: 7, 0: 1, -1: 1}
    assert sentence_about(status_of("node", end, end - 40 * DAY_MS)) == ""
    assert "ends in 6 days; renew it" in sentence_about(status_of("node", end, end - 6 * DAY_MS))
    assert "ends today" in sentence_about(status_of("root", end, end - 1))
    assert "has ended" in sentence_about(status_of("node", end, end + 1))


def test_the_servers_certificate_is_nobodys_identity_and_renewed_in_time(tmp_path: Path, authority: Authority) -> None:
    hosts = ("localhost", "127.0.0.1")
    ServerCertificate(tmp_path / "ca", authority, hosts, PASSPHRASE)
    file = tmp_path / "ca" / "server.crt"
    first = x509.load_pem_x509_certificate(file.read_bytes())
    with pytest.raises(InvalidCertificate, match="organizationalUnitName"):
        certificate_facts(first.public_bytes(Encoding.DER), authority.chain)
    ServerCertificate(tmp_path / "ca", authority, hosts, PASSPHRASE)
    assert x509.load_pem_x509_certificate(file.read_bytes()) == first
    key = SigningKey.load(tmp_path / "ca" / "server.key", PASSPHRASE)
    file.write_bytes(authority.issue_server(key, 29, hosts))
    ServerCertificate(tmp_path / "ca", authority, hosts, PASSPHRASE)
    assert x509.load_pem_x509_certificate(file.read_bytes()).serial_number != first.serial_number
