"""Where, when and of what it was measured: enough to say later whether two figures may be compared."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cryptography.hazmat.backends.openssl import backend

from bench.limit import cores

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cryptography", "msgspec", "rocksdict", "uvloop")
"""Whose versions move figures."""
GIT_S_MAX = 10.0


def machine_figures() -> dict[str, Any]:
    """The machine, the versions and the moment. What this system does not tell is null."""
    return {
        "cores": cores(),
        "load_average": [round(value, 1) for value in os.getloadavg()],
        "machine": platform.machine(),
        "cpu": cpu(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "version": version("wattquorum"),
        "commit": commit(),
        "versions": {
            **{name: installed(name) for name in PACKAGES},
            "openssl": backend.openssl_version_text(),
            "sqlite": sqlite3.sqlite_version,
        },
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def cpu() -> str | None:
    """The processor's name, where the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit(root: Path = ROOT) -> str | None:
    """Of the tree that runs, with ``-dirty`` behind it where files differ; None if it is no clone."""
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=GIT_S_MAX)
    except OSError:
        return None
    return told.stdout.strip() or None
