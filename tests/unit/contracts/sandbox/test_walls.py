"""Behind its walls a process can compute and talk to its socket; whatever else it tries kills it, or fails."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from walled import needs_root, needs_seccomp

from contracts.sandbox.process import MEMORY_BYTES_MAX, Process
from contracts.sandbox.seccomp import ALLOW, ARCHITECTURES, KILL_PROCESS, PROT_EXEC, program

BEHIND = """
import ctypes, mmap, os, resource, socket, sys, threading
from contracts.sandbox.walls import raise_walls
libc = ctypes.CDLL(None)
pid = os.getpid()
hello = raise_walls(int(sys.argv[1]), 1 << 30)
{0}
os.write(int(sys.argv[1]), b"still here")
os._exit(0)
"""
FORBIDDEN = {
    "open": "os.open('/etc/hostname', os.O_RDONLY)",
    "list": "os.listdir('/')",
    "socket": "socket.socket()",
    "fork": "os.fork()",
    "thread": "threading.Thread(target=print).start()",
    "execve": "os.execv('/bin/true', ['true'])",
    "kill": "os.kill(pid, 0)",
    "kill its parent": "os.kill(os.getppid(), 9)",
    "ptrace": "libc.ptrace(0, 0, 0, 0)",
    "prctl": "libc.prctl(38, 1, 0, 0, 0)",
    "setuid": "os.setuid(0)",
    "raise a limit": "resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))",
    "executable memory": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    "duplicate": "os.dup(int(sys.argv[1]))",
    "sleep": "libc.usleep(1)",
}


def behind(action: str) -> tuple[int, bytes]:
    """How a process ends that tries this behind its walls, and what it said on its socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", BEHIND.format(action), str(theirs.fileno())]
        done = subprocess.run(command, pass_fds=[theirs.fileno()], check=False, stderr=subprocess.DEVNULL)
        theirs.close()
        return done.returncode, ours.recv(100)


@needs_seccomp
@pytest.mark.parametrize("action", FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_forbidden_system_call_kills(action: str) -> None:
    assert behind(action) == (-signal.SIGSYS, b"")


@needs_seccomp
@pytest.mark.parametrize("action", ["pass", "bytearray(50_000_000)", "os.urandom(8)", "compile('x = 1', 'x', 'exec')"])
def test_computing_does_not(action: str) -> None:
    assert behind(action) == (0, b"still here")


def test_nothing_is_open_but_the_socket() -> None:
    for descriptor in (0, 1, 2):
        code, said = behind(f"os.write({descriptor}, b'x')")
        assert (code, said) == (1, b"")  # it could not, and nobody hears of it


def test_memory_beyond_the_limit_is_not_had() -> None:
    assert behind("bytearray(2 << 30)") == (1, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_a_worker_has_its_limits_and_no_privileges_and_no_environment() -> None:
    worker = Process()
    try:
        there = Path(f"/proc/{worker.pid}")
        status = dict(line.split(":\t", 1) for line in (there / "status").read_text().splitlines() if ":\t" in line)
        limits = (there / "limits").read_text()
        environment = (there / "environ").read_bytes() if os.geteuid() == 0 else b""
        here = os.readlink(there / "cwd") if os.geteuid() == 0 else "/"
    finally:
        worker.end()
    assert status["NoNewPrivs"] == "1"
    assert status["Threads"] == "1"
    assert f"{MEMORY_BYTES_MAX}" in next(line for line in limits.splitlines() if "address space" in line)
    for name in ("open files", "processes", "file size", "core file size"):
        assert next(line for line in limits.splitlines() if f"Max {name}" in line).split()[-3:-1] in (
            ["0", "0"],
            ["0", "bytes"],
        )
    assert (environment, here) == (b"", "/")
    if worker.hello.seccomp:
        assert status["Seccomp"] == "2"


@needs_root
def test_root_leaves_its_user_and_groups_behind() -> None:
    worker = Process()
    try:
        status = Path(f"/proc/{worker.pid}/status").read_text()
    finally:
        worker.end()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    assert {*fields["Uid"].split()} == {str(worker.hello.uid)} != {"0"}
    assert "0" not in fields["Gid"].split()
    assert not fields["Groups"].split()
    assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == 0


# ------------------------------------------------------------------------------------ the filter, by hand


def verdict(code: bytes, number: int, audit: int, third: int = 0) -> int:
    """What the kernel would decide: a BPF machine of the four instructions that occur."""
    data = struct.pack("=IIQ6Q", number, audit, 0, 0, 0, third, 0, 0, 0)
    instructions = list(struct.iter_unpack("=HBBI", code))
    at = accumulator = 0
    while True:
        kind, if_true, if_false, value = instructions[at]
        at += 1
        if kind == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif kind == 0x15:
            at += if_true if accumulator == value else if_false
        elif kind == 0x45:
            at += if_true if accumulator & value else if_false
        else:
            assert kind == 0x06
            return int(value)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_exactly_the_listed_calls_are_allowed(name: str) -> None:
    found = ARCHITECTURES[name]
    code = program(found)
    allowed = {number for number in range(600) if verdict(code, number, found.audit) == ALLOW}
    assert allowed == set(found.calls.values())
    assert len(allowed) == len(found.calls) == 18


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_memory_is_never_executable_and_other_architectures_never_welcome(name: str) -> None:
    found = ARCHITECTURES[name]
    code = program(found)
    for call in ("mmap", "mprotect"):
        assert verdict(code, found.calls[call], found.audit, 3) == ALLOW
        assert verdict(code, found.calls[call], found.audit, 3 | PROT_EXEC) == KILL_PROCESS
    other = next(each for each in ARCHITECTURES.values() if each is not found)
    assert verdict(code, found.calls["read"], other.audit) == KILL_PROCESS
    assert verdict(code, found.calls["read"] | 0x40000000, found.audit) == KILL_PROCESS


def test_all_architectures_allow_the_same_calls() -> None:
    assert len({frozenset(found.calls) for found in ARCHITECTURES.values()}) == 1
