"""The walls round a worker: nothing open but its socket, limits, an unprivileged user, a list of system calls.

Consensus-visible limits are the language's; these are only the backstop, and differ between machines.
"""

from __future__ import annotations

import os
import pwd
import resource
import sys

from contracts.sandbox.protocol import Hello
from contracts.sandbox.seccomp import SeccompUnavailable, confine, forbid_new_privileges

NOBODY = 65_534
DESCRIPTORS_MAX = 1 << 20
CPU_S_MAX = 3_600
"""Processor seconds in a worker's life; its parent replaces it long before."""


def raise_walls(socket: int, memory_bytes_max: int) -> Hello:
    """All that can be had here, for good; what stands. Everything needed later must have been loaded."""
    missing: list[str] = []
    sys.stdin = sys.stdout = sys.stderr = None  # they are closed
    os.closerange(0, socket)
    os.closerange(socket + 1, DESCRIPTORS_MAX)
    os.chdir("/")
    if os.geteuid() == 0:
        missing += become_nobody()
    elif os.geteuid() != NOBODY:
        missing.append("no switch of user: the worker was not started by root")
    _limit(memory_bytes_max)
    uid, seccomp = os.geteuid(), True
    try:
        forbid_new_privileges()
        confine()
    except SeccompUnavailable as error:
        seccomp = False
        missing.append(str(error))
    return Hello(uid, seccomp, missing)


def become_nobody() -> list[str]:
    try:
        user = pwd.getpwnam("nobody")
        uid, gid = user.pw_uid, user.pw_gid
    except KeyError:
        uid = gid = NOBODY
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        return [f"the user cannot be switched: {error.strerror}"]
    return []


def _limit(memory_bytes_max: int) -> None:
    limits = {
        resource.RLIMIT_AS: memory_bytes_max,
        resource.RLIMIT_CPU: CPU_S_MAX,
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (most, most))
