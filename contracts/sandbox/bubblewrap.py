"""A worker inside bubblewrap: namespaces of its own, and of the file system only what Python needs, read-only."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence

PROGRAM = "bwrap"
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/alternatives")
NOBODY = "65534"


def found() -> str | None:
    """Where bubblewrap is."""
    return shutil.which(PROGRAM)


def wrapped(command: Sequence[str]) -> list[str]:
    """The command as bubblewrap runs it. Descriptors that it inherits stay open for it."""
    places = [*SYSTEM, sys.base_prefix, sys.prefix, *(os.path.abspath(place) for place in sys.path if place)]
    binds = [part for place in dict.fromkeys(places) for part in ("--ro-bind-try", place, place)]
    walls = ["--unshare-all", "--uid", NOBODY, "--gid", NOBODY, "--cap-drop", "ALL", "--new-session"]
    return [found() or PROGRAM, *walls, "--die-with-parent", *binds, "--", *command]
