"""A seccomp filter made here: the system calls of a list, and death for every other one.

The program is classic BPF over ``struct seccomp_data`` (number at 0, architecture at 4, arguments from 16). Memory may
be mapped and its protection changed, but never to be executed. Linux on x86-64 and 64-bit ARM.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys
from dataclasses import dataclass

PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 4, 22, 38
SECCOMP_MODE_FILTER = 2
ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000
PROT_EXEC = 4
_LOAD, _EQUALS, _HAS_BITS, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _THIRD_ARGUMENT = 0, 4, 32


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the kernel calls it, and its numbers of the allowed system calls."""

    audit: int
    calls: dict[str, int]


ARCHITECTURES = {
    "x86_64": Architecture(
        0xC000003E,
        {
            "read": 0, "write": 1, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13,
            "rt_sigprocmask": 14, "rt_sigreturn": 15, "mremap": 25, "madvise": 28, "getpid": 39, "exit": 60,
            "futex": 202, "restart_syscall": 219, "clock_gettime": 228, "exit_group": 231, "getrandom": 318,
        },
    ),
    "aarch64": Architecture(
        0xC00000B7,
        {
            "read": 63, "write": 64, "exit": 93, "exit_group": 94, "futex": 98, "clock_gettime": 113,
            "restart_syscall": 128, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "getpid": 172,
            "brk": 214, "munmap": 215, "mremap": 216, "mmap": 222, "mprotect": 226, "madvise": 233, "getrandom": 278,
        },
    ),
}  # fmt: skip
NEVER_EXECUTABLE = ("mmap", "mprotect")


class SeccompUnavailable(Exception):
    """The kernel, or this module, has no filter for this machine; the message says why."""


def architecture() -> Architecture:
    """This machine's; ``SeccompUnavailable`` if it has none here."""
    if sys.platform != "linux":
        raise SeccompUnavailable(f"seccomp is Linux's, this is {sys.platform}")
    found = ARCHITECTURES.get(platform.machine())
    if found is None:
        raise SeccompUnavailable(f"no filter for {platform.machine()}, only for {', '.join(ARCHITECTURES)}")
    return found


def program(found: Architecture) -> bytes:
    """The filter, as the kernel takes it."""
    plain = [number for name, number in found.calls.items() if name not in NEVER_EXECUTABLE]
    code = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUALS, 1, 0, found.audit), (_RETURN, 0, 0, KILL_PROCESS)]
    code.append((_LOAD, 0, 0, _NUMBER))
    for number in plain:
        code += [(_EQUALS, 0, 1, number), (_RETURN, 0, 0, ALLOW)]
    for name in NEVER_EXECUTABLE:
        code += [
            (_EQUALS, 0, 4, found.calls[name]),
            (_LOAD, 0, 0, _THIRD_ARGUMENT),
            (_HAS_BITS, 1, 0, PROT_EXEC),
            (_RETURN, 0, 0, ALLOW),
            (_RETURN, 0, 0, KILL_PROCESS),
        ]
    code.append((_RETURN, 0, 0, KILL_PROCESS))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def forbid_new_privileges() -> None:
    """No program that this process becomes has more rights, and no other process of this user looks into it."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_SET_DUMPABLE, 0)


def confine() -> None:
    """From now on this process makes the listed system calls only; ``SeccompUnavailable`` if it cannot be had."""
    code = program(architecture())
    buffer = ctypes.create_string_buffer(code, len(code))
    filters = _Program(len(code) // 8, ctypes.addressof(buffer))
    _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(filters))


def _prctl(option: int, first: int, second: int = 0) -> None:
    call = ctypes.CDLL(None, use_errno=True).prctl
    call.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
    if call(option, first, second, 0, 0):
        raise SeccompUnavailable(f"the kernel refuses prctl({option}): error {ctypes.get_errno()}")


__all__ = ["ARCHITECTURES", "SeccompUnavailable", "architecture", "confine", "forbid_new_privileges", "program"]
