"""What a lab does to one process: its limits, its certificate, its clock's pace, and services that never answer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from api.certificates import CHECK_S
from ca.authority import Authority
from ca.certificates import Role, certificate_facts, create_request
from ca.keys import SigningKey
from faults.real import expiry
from faults.real.clock import WallClock
from faults.real.limits import CAN_LIMIT, Limits
from faults.real.services import HOST, hanging, port_of, sections
from faults.scenario import Services
from sdk.ports import claim_ports

ASKED = """
import sys
for line in sys.stdin:
    try:
        kept = open("/dev/null") if line == "file\\n" else bytearray(int(line))
        print("had", flush=True)
    except (OSError, MemoryError) as error:
        print(type(error).__name__, flush=True)
"""
"""A process that opens a file, or takes so many bytes, for each line."""


@pytest.fixture
def asked() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", ASKED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert ask(process, "file") == "had"
    yield process
    process.kill()
    process.communicate()


def ask(process: subprocess.Popen[str], for_what: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{for_what}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.mark.skipif(not CAN_LIMIT, reason="another process's limits can be set on Linux alone")
def test_a_process_opens_and_takes_no_more_until_its_limits_are_lifted(asked: subprocess.Popen[str]) -> None:
    limits = Limits(asked.pid)
    limits.files(0)
    limits.memory(1)
    assert ask(asked, "file") == "OSError"
    assert ask(asked, str(100 << 20)) == "MemoryError"
    limits.lift()
    assert ask(asked, "file") == "had"
    assert ask(asked, str(100 << 20)) == "had"


@pytest.mark.skipif(not CAN_LIMIT, reason="another process's limits can be set on Linux alone")
def test_limits_of_a_process_that_is_gone_are_nobodys() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    limits = Limits(process.pid)
    limits.files(0)
    limits.memory(0)
    limits.lift()


def test_a_certificate_that_soon_ends_is_the_same_but_for_its_dates(tmp_path: Path) -> None:
    authority, key, home = Authority.init(tmp_path / "ca", "Test"), SigningKey.generate(), tmp_path / "node1"
    home.mkdir()
    request = create_request(key, "node1", "Test", Role.NODE)
    issued = authority.issue(request, "node1", "Test", Role.NODE, 9, ("127.0.0.1",))
    (home / "node.crt").write_bytes(issued.certificate_pem)
    before, now_ms = certificate_facts(issued.certificate_der, (authority.root_der,)), time.time() * 1000
    expiry.end_in(tmp_path, home, expiry.TAKEN_UP_S)
    soon = certificate_facts(_der(home), (authority.root_der,))
    assert (soon.public_key, soon.name, soon.role) == (before.public_key, before.name, before.role)
    assert now_ms < soon.not_after_ms < now_ms + 60_000
    assert soon.serial != before.serial
    expiry.renew(tmp_path, home)
    assert certificate_facts(_der(home), (authority.root_der,)).not_after_ms > before.not_after_ms
    assert expiry.TAKEN_UP_S > CHECK_S, "a node finds it in time"


def _der(home: Path) -> bytes:
    read = x509.load_pem_x509_certificate((home / "node.crt").read_bytes())
    return read.public_bytes(Encoding.DER)


def test_a_clock_that_drifts_gains_from_when_it_was_told_and_is_right_again(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [10**9]
    monkeypatch.setattr(time, "monotonic_ns", lambda: moment[0])
    clock = WallClock()
    monkeypatch.setattr(clock, "_real", lambda: 0)
    clock.skew_ms = 7
    clock.drift(-250)
    moment[0] += 2 * 10**9
    clock.drift(-250)  # the same order again changes nothing
    assert clock.now_ns() == (7 - 500) * 1_000_000
    clock.drift(0)
    assert clock.now_ns() == 7_000_000


async def test_a_service_that_hangs_takes_everything_and_says_nothing() -> None:
    block = claim_ports(2)
    first, services = block.first, Services(mqtt="hangs")
    made = hanging(services, first)
    port = port_of("mqtt", first)
    await made.listen()
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"hello" * 10_000)
        await writer.drain()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(1)
    finally:
        await made.close()
        block.close()
    assert await reader.read() == b""
    writer.close()
    assert sections(services, first) == ["", "[mqtt]", f'url = "mqtt://{HOST}:{port}"']
    assert "[state]" in sections(Services(couchdb="down"), first)
