"""The node's certificate: taken up when the file is replaced, never when it cannot be used, and spoken of in time."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from api.certificates import CertificateWatch
from api.measures import Measures
from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from ca.tls import public_server_context


@dataclass
class Home:
    """A node's home, and the watch over its certificate."""

    path: Path
    authority: Authority
    key: SigningKey
    metrics: CollectorRegistry

    def put(self, days: int, key: SigningKey | None = None, role: Role = Role.NODE, by: Authority | None = None) -> str:
        """Replace the certificate's file; the new serial."""
        request = create_request(key or self.key, "node1", "o", role)
        issued = (by or self.authority).issue(request, "node1", "o", role, days, ("localhost",))
        self.replace(issued.certificate_pem)
        return issued.serial

    def replace(self, data: bytes) -> None:
        (self.path / "draft").write_bytes(data)
        os.replace(self.path / "draft", self.path / "node.crt")

    def watch(self) -> tuple[CertificateWatch, ssl.SSLContext]:
        files = self.path / "node.crt", self.path / "node.key"
        context = public_server_context(*files)
        roots = [self.authority.root_der]
        days = Measures(self.metrics).certificate_days
        return CertificateWatch(*files, self.key.public_key, lambda: roots, [context], days), context

    def days(self, which: str) -> float:
        found = self.metrics.get_sample_value("wattq_ca_certificate_days", {"certificate": which})
        assert found is not None
        return found


@pytest.fixture
def home(tmp_path: Path) -> Home:
    key = SigningKey.generate()
    key.save(tmp_path / "node.key")
    made = Home(tmp_path, Authority.init(tmp_path / "ca", "o", 1_000), key, CollectorRegistry())
    made.put(100)
    return made


def shown(context: ssl.SSLContext, authority: Authority) -> str:
    """The serial of the certificate that a client sees."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(authority.root_der))
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(down, up, server_hostname="localhost"), context.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    certificate = ends[0].getpeercert()
    assert certificate
    return str(certificate["serialNumber"]).lower().lstrip("0")


def look(watch: CertificateWatch, home: Home) -> None:
    watch._take_up(watch._seen([home.authority.root_der]))


def test_a_replaced_file_is_taken_up_by_living_contexts(home: Home) -> None:
    watch, context = home.watch()
    assert home.days("node") == pytest.approx(100, abs=0.1)
    new = home.put(200)
    look(watch, home)
    assert shown(context, home.authority) == new
    assert home.days("node") == pytest.approx(200, abs=0.1)
    assert home.days("root") == pytest.approx(1_000, abs=0.1)
    assert (watch.warnings(), watch.alarms()) == ((), ())


def test_a_file_that_cannot_be_used_changes_nothing_and_is_told_of(home: Home, tmp_path: Path) -> None:
    serial = home.put(100)
    watch, context = home.watch()
    other = Authority.init(tmp_path / "other", "o")
    wrong: dict[str, Callable[[], object]] = {
        "another key": lambda: home.put(100, SigningKey.generate()),
        "key or role": lambda: home.put(100, role=Role.SELLER),
        "no CA of this network": lambda: home.put(100, by=other),
        "not in force": lambda: home.put(0),
        "cannot be used": lambda: home.replace(b"noise"),
    }
    for why, put in wrong.items():
        put()
        look(watch, home)
        (told,) = watch.warnings()
        assert why in told
        assert shown(context, home.authority) == serial
        assert home.days("node") == pytest.approx(100, abs=0.1)
    home.put(50)
    look(watch, home)
    assert watch.warnings() == ()


@pytest.mark.parametrize(("days", "mark"), [(31, 0), (29, 30), (6, 7), (0, 1)])
def test_warnings_come_at_thirty_seven_and_one_days(home: Home, days: int, mark: int) -> None:
    home.put(days + 1)
    watch, _ = home.watch()
    (node,) = [each for each in watch.certificates() if each.holder == "node"]
    assert (node.days, node.warning_days) == (days, mark)
    assert len(watch.warnings()) == (1 if mark else 0)
    assert watch.alarms() == ()


def test_a_certificate_that_has_ended_is_an_alarm(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, _ = home.watch()
    later = watch.certificates()[0].not_after_ms + 1
    monkeypatch.setattr("api.certificates._now_ms", lambda: later)
    assert watch.alarms() == ("certificate: this node's certificate has ended; renew it: wattq ca renew",)
    assert home.days("node") < 0
