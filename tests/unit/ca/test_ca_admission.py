"""Admission by code, policy and operators; renewal; what replays, wrong proofs and odd clocks come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import ca.admission
import ca.authority
from ca.admission import WAITING_MS_MAX, WAITING_PER_CALLER_MAX, WAITING_PER_ORIGIN_MAX, Admissions, Terms
from ca.authority import Authority, Issued
from ca.certificates import InvalidCertificate, RequestFacts, Role, create_request
from ca.codes import AdmissionRefused, prove
from ca.folder import AuthorityError
from ca.intermediate import begin, install
from ca.issuing import attributes_of, hosts_of, issuer_id_of
from ca.keys import SigningKey
from ca.messages import (
    Application,
    Decision,
    Renewal,
    WaitingList,
    application_text,
    decision_text,
    renewal_text,
    waiting_text,
)
from ca.register import Register

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.fixture
def admissions(authority: Authority) -> Admissions:
    return Admissions(authority)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the CA's clock is ahead by; certificates are dated by the machine's own."""
    ahead = [0]
    true = ca.authority.now_ms
    for module in (ca.authority, ca.admission):
        monkeypatch.setattr(module, "now_ms", lambda: true() + ahead[0])
    return ahead


@pytest.fixture
def operator(authority: Authority) -> tuple[SigningKey, bytes]:
    return certified(authority, "olga", Role.OPERATOR)


def certified(authority: Authority, name: str, role: Role, **more: Any) -> tuple[SigningKey, bytes]:
    key = SigningKey.generate()
    issued = authority.issue(create_request(key, name, "Grid", role), name, "Grid", role, **more)
    return key, issued.certificate_der


def shown(key: SigningKey, name: str, role: str, code: str) -> dict[str, Any]:
    """What is sent of a code."""
    if not code:
        return {}
    of = prove(code, RequestFacts(name, "house", role, key.public_key))
    return {"code_id": of.id, "code_proof": of.proof}


def by_request(key: SigningKey, name: str = "alice", role: Role = Role.SELLER, code: str = "") -> Application:
    return Application(request=create_request(key, name, "house", role), **shown(key, name, role, code))


def by_proof(key: SigningKey, name: str = "alice", role: str = "seller", code: str = "", **changed: Any) -> Application:
    of = shown(key, name, role, code)
    proof = key.sign(application_text(name, "house", role, of.get("code_id", "")))
    names: dict[str, Any] = {"name": name, "organisation": "house", "role": role}
    return Application(**{"public_key": key.public_key, **names, "proof": proof, **of, **changed})


def decision(
    operator: tuple[SigningKey, bytes], registration: str, verdict: Any = "approve", off_ms: int = 0, ca_id: str = ""
) -> Decision:
    key, certificate = operator
    meant = ca_id or issuer_id_of(x509.load_der_x509_certificate(certificate))
    time_ms = ca.authority.now_ms() + off_ms
    return Decision(
        certificate=certificate,
        registration=registration,
        verdict=verdict,
        reason="r",
        time_ms=time_ms,
        proof=key.sign(decision_text(meant, registration, verdict, "r", time_ms)),
    )


def question(operator: tuple[SigningKey, bytes], ca_id: str) -> WaitingList:
    now_ms = ca.authority.now_ms()
    return WaitingList(certificate=operator[1], time_ms=now_ms, proof=operator[0].sign(waiting_text(ca_id, now_ms)))


def renewal(key: SigningKey, serial: str) -> Renewal:
    return Renewal(serial=serial, proof=key.sign(renewal_text(serial)))


def refused(call: Any, *args: Any) -> str:
    with pytest.raises(AdmissionRefused) as caught:
        call(*args)
    return caught.value.reason


def files(authority: Authority) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in authority.folder.directory.glob("*.jsonl")}


@pytest.mark.parametrize("apply", [by_request, by_proof])
def test_a_code_admits_at_once_by_request_and_by_proof(
    authority: Authority, admissions: Admissions, key: SigningKey, apply: Any
) -> None:
    code = authority.new_admission_code(Role.SELLER, attributes={"zone": "north"})
    told = admissions.apply(apply(key, code=code))
    issued = authority.show(told.serial)
    assert issued is not None
    assert (told.state, issued.signer, issued.name, issued.role) == ("issued", key.signer, "alice", "seller")
    assert attributes_of(x509.load_der_x509_certificate(told.certificate)) == {"zone": "north"}
    assert admissions.find(told.registration) == told


def test_a_repeated_application_gets_the_same_answer_and_no_second_certificate(
    authority: Authority, admissions: Admissions, key: SigningKey
) -> None:
    code = authority.new_admission_code(Role.SELLER)
    first = admissions.apply(by_proof(key, code=code))
    before = files(authority)
    assert admissions.apply(by_proof(key, code=code)) == first
    assert admissions.apply(by_request(key, code=code)) == first
    assert files(authority) == before
    other = SigningKey.generate()
    assert refused(admissions.apply, by_proof(other, code=code)) == "CODE_USED"


def test_an_applicant_whom_a_crash_cut_off_gets_the_certificate_that_the_code_brought(
    authority: Authority, admissions: Admissions, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = authority.new_admission_code(Role.SELLER)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    for what, step in ((Register, "add"), (Admissions, "_keep")):
        with monkeypatch.context() as patch:
            patch.setattr(what, step, crash)
            with pytest.raises(KeyboardInterrupt):
                admissions.apply(by_proof(key, code=code))
    assert admissions.apply(by_proof(key, code=code)).serial == authority.issued()[0].serial
    assert len(authority.issued()) == 1


def test_what_is_no_application_changes_nothing(authority: Authority, admissions: Admissions, key: SigningKey) -> None:
    code, other = authority.new_admission_code(Role.SELLER), SigningKey.generate()
    before = files(authority)
    odd = [
        Application(**shown(key, "alice", "seller", code)),
        Application(request=create_request(key, "alice", "house", Role.SELLER), public_key=key.public_key),
        Application(request=b"\x30\x03garbage", **shown(key, "alice", "seller", code)),
        by_proof(key, code=code, code_proof=b""),
        by_proof(key, code_proof=bytes(22)),
        by_proof(key, public_key=b"\x04" + bytes(64)),
        *(by_proof(key, name) for name in ("", " alice", "al\nice", "ali\u202ece", "a" * 65)),
        by_proof(key, role="emperor"),
    ]
    for asked in odd:
        with pytest.raises(InvalidCertificate):
            admissions.apply(asked)
    assert refused(admissions.apply, by_proof(key, code=code, public_key=other.public_key)) == "PROOF_INVALID"
    assert refused(admissions.apply, by_proof(key, code=code, organisation="else")) == "PROOF_INVALID"
    assert refused(admissions.apply, by_proof(key, code="", proof=key.sign(b"else"))) == "PROOF_INVALID"
    assert refused(admissions.apply, by_proof(key, code="no such code")) == "CODE_UNKNOWN"
    assert refused(admissions.apply, by_proof(key, code=code + "x" * 100)) == "CODE_UNKNOWN"
    assert refused(admissions.apply, by_proof(key, code=code, code_proof=bytes(22))) == "PROOF_INVALID"
    assert refused(admissions.apply, by_proof(key, role="buyer", code=code)) == "CODE_OTHER_ROLE"
    assert files(authority) == before


def test_a_code_shown_for_one_application_opens_no_other(
    authority: Authority, admissions: Admissions, key: SigningKey
) -> None:
    code = authority.new_admission_code(Role.SELLER)
    thief, of = SigningKey.generate(), shown(key, "alice", "seller", code)
    for asked in (by_request(thief), by_request(key, "alicia"), by_request(key, role=Role.BUYER)):
        assert refused(admissions.apply, Application(request=asked.request, **of)) == "PROOF_INVALID"
    kept = (authority.folder.directory / "codes.jsonl").read_text()
    assert code not in kept
    assert of["code_id"] not in kept
    assert admissions.apply(by_request(key, code=code)).state == "issued"


def test_an_expired_code(authority: Authority, admissions: Admissions, key: SigningKey, clock: list[int]) -> None:
    code = authority.new_admission_code(Role.SELLER, valid_hours=1)
    clock[0] = 2 * HOUR_MS
    assert refused(admissions.apply, by_proof(key, code=code)) == "CODE_EXPIRED"


# --------------------------------------------------------------------------------------------- policy


def policy(authority: Authority, text: str) -> None:
    (authority.folder.directory / "policy.toml").write_text(text)


RULES = """
otherwise = "refuse"
[[rule]]
roles = ["operator"]
then = "wait"
[[rule]]
roles = ["seller", "buyer"]
organisations = ["house"]
then = "issue"
days = 30
attributes = { zone = "north" }
"""


def test_a_policy_admits_refuses_and_has_wait(authority: Authority, admissions: Admissions, key: SigningKey) -> None:
    policy(authority, RULES)
    told = admissions.apply(by_proof(key))
    issued = authority.show(told.serial)
    assert issued is not None
    assert issued.not_after_ms - issued.not_before_ms == 30 * DAY_MS + 300_000
    assert attributes_of(issued.certificate) == {"zone": "north"}
    assert admissions.apply(by_proof(SigningKey.generate(), "o", "operator")).state == "waiting"
    assert refused(admissions.apply, by_proof(SigningKey.generate(), "p", "prosumer")) == "ADMISSION_REFUSED"


def test_a_policy_gives_nobody_a_name_that_another_has(
    authority: Authority, admissions: Admissions, key: SigningKey
) -> None:
    policy(authority, RULES)
    admissions.apply(by_proof(key))
    assert admissions.apply(by_proof(SigningKey.generate())).state == "waiting"


@pytest.mark.parametrize(
    "name",
    ["ANNA", "a\u0441\u0441a", "\u0430nna", "\uff41nna", "\xe1nna", "an-na", "anna.", "\u0430nn\u0430", "\u13aala"],
)
def test_a_policy_gives_nobody_a_name_that_looks_like_anothers(
    authority: Authority, admissions: Admissions, key: SigningKey, name: str
) -> None:
    policy(authority, RULES)
    for taken in ("anna", "acca"):
        assert admissions.apply(by_proof(SigningKey.generate(), taken)).state == "issued"
    assert admissions.apply(by_proof(key, name)).state == "waiting"
    open_code = authority.new_admission_code(Role.SELLER)
    if name != "\u13aala":  # alphabets are mixed in it, and it looks like nobody who is there
        assert refused(admissions.apply, by_proof(key, name, code=open_code)) == "NAME_TAKEN"
    for other in ("hanna", "爱丽丝 Wang", "Иван", "山田 タロウ"):
        assert admissions.apply(by_proof(SigningKey.generate(), other)).state == "issued"


@pytest.mark.parametrize("hidden", ["\u3164", "\u115f", "\ufe0f", "\u2800", "\U000e0100", "\u034f"])
def test_a_name_with_a_character_that_does_not_show_is_none(
    authority: Authority, admissions: Admissions, key: SigningKey, hidden: str
) -> None:
    policy(authority, RULES)
    with pytest.raises(InvalidCertificate, match="printable"):
        admissions.apply(by_proof(key, f"an{hidden}na"))


def test_a_policy_issues_only_so_many_a_day(authority: Authority, admissions: Admissions) -> None:
    policy(authority, "issues_per_day_max = 2\n" + RULES)
    states = [admissions.apply(by_proof(SigningKey.generate(), f"n{n}")).state for n in range(3)]
    assert states == ["issued", "issued", "waiting"]


@pytest.mark.parametrize(
    "text",
    [
        "otherwise = 'issue'",
        "[[rule]]\nthen = 'issue'",
        "[[rule]]\nroles = ['operator']\nthen = 'issue'",
        "[[rule]]\nroles = ['node', 'seller']\nthen = 'issue'",
        "[[rule]]\nroles = ['emperor']\nthen = 'wait'",
        "[[rule]]\nthen = 'wait'\nextra = 1",
        "[[rule]]\nthen = 'wait'\nattributes = { a = '' }",
        "no toml",
    ],
)
def test_a_faulty_policy_admits_nobody(
    authority: Authority, admissions: Admissions, key: SigningKey, text: str
) -> None:
    policy(authority, text)
    with pytest.raises(AuthorityError, match=r"policy\.toml"):
        admissions.apply(by_proof(key))
    assert authority.issued() == []


# ----------------------------------------------------------------------------------------- operators


def test_an_operator_admits_from_afar(
    authority: Authority, admissions: Admissions, key: SigningKey, operator: tuple[SigningKey, bytes]
) -> None:
    told = admissions.apply(by_proof(key))
    assert (told.state, told.certificate) == ("waiting", b"")
    assert admissions.apply(by_request(key)) == told
    asked = question(operator, authority.key_id)
    assert [(w.registration, w.name, w.signer) for w in admissions.waiting_for(asked)] == [
        (told.registration, "alice", key.signer)
    ]
    decided = admissions.decide(decision(operator, told.registration))
    assert decided.state == "issued"
    assert admissions.find(told.registration) == decided == admissions.apply(by_proof(key))
    assert refused(admissions.decide, decision(operator, told.registration)) == "ALREADY_DECIDED"
    assert admissions.waiting() == ()


def test_what_an_operator_signs_for_one_ca_is_nothing_to_another(
    tmp_path: Path, authority: Authority, admissions: Admissions, key: SigningKey, operator: tuple[SigningKey, bytes]
) -> None:
    begin(tmp_path / "coop", "Coop")
    request = create_request(SigningKey.load(tmp_path / "coop" / "intermediate.key"), "c", "c", Role.SELLER)
    root = (authority.folder.directory / "root.crt").read_bytes()
    made = x509.load_der_x509_certificate(authority.issue_intermediate(request, "Coop", 9)).public_bytes(Encoding.PEM)
    install(tmp_path / "coop", made + root)
    below = Authority.open(tmp_path / "coop")
    told = Admissions(below).apply(by_proof(key))
    assert refused(Admissions(below).waiting_for, question(operator, authority.key_id)) == "PROOF_INVALID"
    assert refused(Admissions(below).decide, decision(operator, told.registration)) == "PROOF_INVALID"
    assert len(Admissions(below).waiting_for(question(operator, below.key_id))) == 1
    assert Admissions(below).decide(decision(operator, told.registration, ca_id=below.key_id)).state == "issued"


def test_who_passes_an_operators_question_on_does_not_ask_it_again(
    authority: Authority, admissions: Admissions, operator: tuple[SigningKey, bytes], clock: list[int]
) -> None:
    asked = question(operator, authority.key_id)
    assert admissions.waiting_for(asked) == ()
    assert refused(admissions.waiting_for, asked) == "PROOF_USED"
    clock[0] = 299_000
    assert refused(admissions.waiting_for, asked) == "PROOF_USED"
    assert admissions.waiting_for(question(operator, authority.key_id)) == ()
    clock[0] = 601_000
    assert refused(admissions.waiting_for, asked) == "CLOCK_OFF"


def test_an_operator_refuses_and_says_why(
    admissions: Admissions, key: SigningKey, operator: tuple[SigningKey, bytes]
) -> None:
    told = admissions.apply(by_proof(key))
    admissions.decide(decision(operator, told.registration, "refuse"))
    again = admissions.apply(by_proof(key))
    assert (again.state, again.reason) == ("refused", "r")


def test_who_may_not_decide(
    tmp_path: Path, authority: Authority, admissions: Admissions, key: SigningKey, operator: tuple[SigningKey, bytes]
) -> None:
    registration = admissions.apply(by_proof(key)).registration
    revoked = certified(authority, "rob", Role.OPERATOR)
    authority.revoke(f"{x509.load_der_x509_certificate(revoked[1]).serial_number:x}", "left")
    elsewhere = certified(Authority.init(tmp_path / "other", "Grid"), "olga", Role.OPERATOR)
    before = files(authority)
    wrong = {
        "CERTIFICATE_INVALID": decision(elsewhere, registration),
        "ROLE_REQUIRED": decision(certified_silently(authority, Role.REGULATOR), registration),
        "PROOF_INVALID": decision((SigningKey.generate(), operator[1]), registration),
        "CERTIFICATE_REVOKED": decision(revoked, registration),
        "REGISTRATION_UNKNOWN": decision(operator, "0" * 32),
    }
    for reason, asked in wrong.items():
        assert refused(admissions.decide, asked) == reason
    for off_ms in (-3 * HOUR_MS, 3 * HOUR_MS):
        assert refused(admissions.decide, decision(operator, registration, off_ms=off_ms)) == "CLOCK_OFF"
    assert files(authority) == before


def certified_silently(authority: Authority, role: Role) -> tuple[SigningKey, bytes]:
    """A certificate that is in no register."""
    key = SigningKey.generate()
    return key, authority.certify(RequestFacts("r", "Grid", role, key.public_key), 1).certificate_der


def test_who_governs_is_admitted_where_the_key_is_only(
    admissions: Admissions, key: SigningKey, operator: tuple[SigningKey, bytes]
) -> None:
    registration = admissions.apply(by_proof(key, role="node")).registration
    assert refused(admissions.decide, decision(operator, registration)) == "ROLE_NOT_FROM_AFAR"
    terms = Terms(10, ("localhost", "127.0.0.1"), {"site": "west"})
    told = admissions.approve(registration, "keeper", terms)
    read = x509.load_der_x509_certificate(told.certificate)
    assert (hosts_of(read), attributes_of(read)) == (("localhost", "127.0.0.1"), {"site": "west"})


def test_a_decision_for_one_is_none_for_another(
    admissions: Admissions, key: SigningKey, operator: tuple[SigningKey, bytes]
) -> None:
    one = admissions.apply(by_proof(key)).registration
    two = admissions.apply(by_proof(SigningKey.generate(), "bob")).registration
    signed = decision(operator, one)
    moved = Decision(**{name: getattr(signed, name) for name in signed.__struct_fields__} | {"registration": two})
    assert refused(admissions.decide, moved) == "PROOF_INVALID"


def test_who_waits_too_long_applies_again(admissions: Admissions, key: SigningKey, clock: list[int]) -> None:
    first = admissions.apply(by_proof(key))
    clock[0] = WAITING_MS_MAX + 1
    assert admissions.find(first.registration).state == "refused"
    second = admissions.apply(by_proof(key))
    assert (second.state, second.registration == first.registration) == ("waiting", False)


def test_the_waiting_room_is_bounded(
    admissions: Admissions, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ca.folder.os.fsync", lambda _: None)
    for n in range(WAITING_PER_ORIGIN_MAX):
        admissions.apply(by_proof(SigningKey.generate(), f"n{n}"), "10.0.0.1")
    asked = by_proof(SigningKey.generate(), "more")
    assert refused(admissions.apply, asked, "10.0.0.1") == "TOO_MANY_WAITING"
    assert admissions.apply(asked, "10.0.0.2").state == "waiting"
    code = authority.new_admission_code(Role.SELLER)
    assert admissions.apply(by_proof(SigningKey.generate(), "x", code=code), "10.0.0.1").state == "issued"


def test_one_user_of_a_node_that_passes_on_closes_the_waiting_room_for_nobody_else(
    admissions: Admissions, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ca.folder.os.fsync", lambda _: None)
    for n in range(WAITING_PER_CALLER_MAX):
        admissions.apply(by_proof(SigningKey.generate(), f"n{n}", caller="192.0.2.1"), "10.0.0.1")
    asked = SigningKey.generate()
    assert refused(admissions.apply, by_proof(asked, "more", caller="192.0.2.1"), "10.0.0.1") == "TOO_MANY_WAITING"
    assert admissions.apply(by_proof(asked, "more", caller="192.0.2.2"), "10.0.0.1").state == "waiting"


# ------------------------------------------------------------------------------------------- renewal


@pytest.fixture
def held(authority: Authority, key: SigningKey) -> Issued:
    """A certificate for thirty days, with a host and an attribute."""
    request = create_request(key, "alice", "house", Role.SELLER)
    return authority.issue(request, "alice", "house", Role.SELLER, 30, ("localhost",), {"zone": "north"})


def test_a_certificate_is_renewed_in_the_last_third_of_its_time(
    authority: Authority, admissions: Admissions, key: SigningKey, held: Issued, clock: list[int]
) -> None:
    assert refused(admissions.renew, renewal(key, held.serial)) == "RENEWAL_TOO_EARLY"
    clock[0] = 21 * DAY_MS
    new = admissions.renew(renewal(key, held.serial))
    assert new.serial != held.serial
    assert (new.signer, new.name, new.organisation, new.role) == (held.signer, "alice", "house", "seller")
    assert (hosts_of(new.certificate), attributes_of(new.certificate)) == (("localhost",), {"zone": "north"})
    assert new.not_after_ms >= held.not_after_ms


def test_a_replayed_renewal_brings_the_certificate_that_it_brought_before(
    authority: Authority, admissions: Admissions, key: SigningKey, held: Issued, clock: list[int]
) -> None:
    clock[0] = 21 * DAY_MS
    asked = renewal(key, held.serial)
    first, before = admissions.renew(asked), files(authority)
    assert admissions.renew(asked) == first
    assert files(authority) == before


def test_what_is_not_renewed(
    authority: Authority, admissions: Admissions, key: SigningKey, held: Issued, clock: list[int]
) -> None:
    thief = SigningKey.generate()
    clock[0] = 21 * DAY_MS
    assert refused(admissions.renew, renewal(thief, held.serial)) == "PROOF_INVALID"
    assert refused(admissions.renew, renewal(key, "abc")) == "CERTIFICATE_UNKNOWN"
    clock[0] = 31 * DAY_MS
    assert refused(admissions.renew, renewal(key, held.serial)) == "CERTIFICATE_EXPIRED"
    clock[0] = 21 * DAY_MS
    authority.revoke(held.serial, "key lost")
    assert refused(admissions.renew, renewal(key, held.serial)) == "CERTIFICATE_REVOKED"
    assert len(authority.issued()) == 1


def test_what_the_chain_has_revoked_is_not_renewed(
    authority: Authority, admissions: Admissions, key: SigningKey, held: Issued, clock: list[int]
) -> None:
    clock[0] = 21 * DAY_MS
    authority.revoked_elsewhere = lambda serial: serial == held.serial
    assert refused(admissions.renew, renewal(key, held.serial)) == "CERTIFICATE_REVOKED"


# ---------------------------------------------------------------------------- what a revocation bars


def test_a_revoked_key_is_not_renewed_by_its_older_certificate(
    authority: Authority, admissions: Admissions, key: SigningKey, held: Issued, clock: list[int]
) -> None:
    clock[0] = 21 * DAY_MS
    new = admissions.renew(renewal(key, held.serial))
    authority.revoke(new.serial, "stolen")
    for serial in (held.serial, new.serial):
        assert refused(admissions.renew, renewal(key, serial)) == "CERTIFICATE_REVOKED"
    assert len(authority.issued()) == 2


@pytest.mark.parametrize("revoker", ["here", "chain"])
def test_a_revoked_key_is_admitted_by_neither_policy_nor_code_nor_operator(
    authority: Authority, admissions: Admissions, key: SigningKey, revoker: str
) -> None:
    waits = admissions.apply(by_proof(key, "alice")).registration
    serial = authority.issue(create_request(key, "al", "house", Role.SELLER), "al", "house", Role.SELLER).serial
    if revoker == "here":
        authority.revoke(serial, "stolen")
    else:
        authority.revoked_elsewhere = lambda asked: asked == serial
    policy(authority, RULES)
    code = authority.new_admission_code(Role.SELLER)
    for asked in (by_proof(key), by_proof(key, "anew"), by_proof(key, code=code)):
        assert refused(admissions.apply, asked) == "CERTIFICATE_REVOKED"
    assert refused(admissions.approve, waits, "keeper") == "CERTIFICATE_REVOKED"
    assert admissions.apply(by_proof(SigningKey.generate(), code=code)).state == "issued"


def test_a_person_pardons_a_key_whose_certificate_was_revoked(
    authority: Authority, admissions: Admissions, key: SigningKey, held: Issued, clock: list[int]
) -> None:
    authority.revoke(held.serial, "wrong name")
    request, names = create_request(key, "alicia", "house", Role.SELLER), ("alicia", "house", Role.SELLER, 30)
    assert refused(authority.issue, request, *names) == "CERTIFICATE_REVOKED"
    again = authority.issue(request, *names, pardon=True)
    clock[0] = 21 * DAY_MS
    assert refused(admissions.renew, renewal(key, held.serial)) == "CERTIFICATE_REVOKED"
    assert admissions.renew(renewal(key, again.serial)).name == "alicia"
    authority.revoke(again.serial, "stolen")
    assert refused(authority.issue, request, *names) == "CERTIFICATE_REVOKED"
    assert [entry.what for entry in authority.check_log(authority.folder.directory)].count("pardoned") == 1


def test_what_else_a_revoked_key_holds_is_named(
    authority: Authority, admissions: Admissions, key: SigningKey, held: Issued, clock: list[int]
) -> None:
    clock[0] = 21 * DAY_MS
    new = admissions.renew(renewal(key, held.serial))
    authority.revoke(held.serial, "stolen")
    assert authority.others_in_force(held.serial) == [new.serial]
    clock[0] = 31 * DAY_MS + new.not_after_ms - held.not_after_ms
    assert authority.others_in_force(held.serial) == []
