"""Makes `.venv` with everything that Wattquorum needs, from wheels alone. Standard library only.

Run by `scripts/setup` with the interpreter that the environment is to have. Works as root and as a
user, from a path with spaces, twice in a row (quickly) and beside another run (one waits).

Exit codes: 0 ready; 1 not current (`--is-current`), or an installation failed; 2 the machine lacks
something, and the last line printed is the one command that helps.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import urllib.parse
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "wattquorum-setup.json"
INPUTS = ("pyproject.toml", "constraints.txt", "scripts/bootstrap.py")

EXTRAS_REQUIRED = ("demo", "dev")
EXTRAS_OPTIONAL = ("bench", "export")
EXTRAS_LEFT_OUT = ("dask",)
"""Whoever wants one installs it: nothing of it is needed here."""
# What we do without where no wheel exists, and what then happens instead.
OPTIONAL = {
    "rocksdict": "the commit store falls back to SQLite",
    "uvloop": "the nodes run on asyncio's own event loop",
    "bench": "`wattq bench run` writes numbers but no plots and no histograms",
    "export": "`wattq export` writes CSV but no Parquet",
}

# Debian's Python without python3-venv carries no pip. This is the wheel that we then accept.
PIP_WHEEL = "pip-26.3-py3-none-any.whl"
PIP_WHEEL_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"


class Missing(Exception):
    """The machine lacks something; the argument is the command that helps."""


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> int:
    return subprocess.run([str(part) for part in command], cwd=cwd, env=env, check=False).returncode


# ---- is there anything to do? ------------------------------------------------------------------------


def fingerprint() -> dict[str, str]:
    """What the environment was made from; a change of any entry makes `.venv` stale."""
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return {"root": str(ROOT), "inputs_sha256": digest.hexdigest()}


def stamp() -> dict[str, str]:
    """What the environment says it was made from; empty if it was never finished."""
    try:
        recorded = json.loads(STAMP.read_text("utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return recorded if isinstance(recorded, dict) else {}


def runs(python: Path) -> bool:
    """True if the environment's interpreter starts and is one that we support."""
    code = "import sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([str(python), "-c", code], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def is_current() -> bool:
    return stamp() == fingerprint() and (VENV / "bin" / "wattq").exists()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Holds the tree's set-up lock; a second `make setup` waits here and then finds nothing to do."""
    with (ROOT / ".setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# ---- the environment and its pip ---------------------------------------------------------------------


def has_ensurepip() -> bool:
    return subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True).returncode == 0


def venv_package() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}-venv"


def apt_install(package: str) -> bool:
    """As root on Debian and its kin, installs a package; says nothing about failure but returns it."""
    if os.geteuid() != 0 or not Path("/usr/bin/apt-get").exists():
        return False
    say(f"installing {package} with apt-get")
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", package)
    return run(*install, env=env) == 0 or (
        run("apt-get", "update", "-qq", env=env) == 0 and run(*install, env=env) == 0
    )


def make_environment() -> None:
    """Creates `.venv` anew, with pip in it by the first way that works here."""
    say(f"making .venv with Python {sys.version.split()[0]} ({sys.executable})")
    with_pip = has_ensurepip() or (apt_install(venv_package()) and has_ensurepip())
    venv.EnvBuilder(clear=True, symlinks=True, with_pip=with_pip).create(VENV)
    if with_pip:
        return
    say("this Python has no ensurepip; looking for pip elsewhere")
    with tempfile.TemporaryDirectory() as scratch:
        if not (pip_by_systems_pip() or pip_by_wheel(Path(scratch))):
            raise Missing(f"sudo apt install {venv_package()}")


def pip_by_systems_pip() -> bool:
    command = (sys.executable, "-m", "pip", "--python", PYTHON, "install", "-q", "pip")
    return subprocess.run([str(part) for part in command], capture_output=True).returncode == 0


def pip_by_wheel(scratch: Path) -> bool:
    """Runs pip from its own wheel to install that wheel: the system's, apt's, or the index's."""
    wheel = wheel_of_system(Path("/usr/share/python-wheels")) or wheel_by_apt(scratch) or wheel_by_index(scratch)
    return wheel is not None and run(PYTHON, wheel / "pip", "install", "-q", "--no-index", wheel) == 0


def wheel_of_system(directory: Path) -> Path | None:
    return max(directory.glob("pip-*.whl"), default=None)


def wheel_by_apt(scratch: Path) -> Path | None:
    """Debian's package of the pip wheel; downloading one needs no root, and apt checks its signature."""
    if not Path("/usr/bin/apt-get").exists():
        return None
    if run("apt-get", "download", "-qq", "python3-pip-whl", cwd=scratch) != 0:
        return None
    for package in scratch.glob("*.deb"):
        if run("dpkg-deb", "-x", package, scratch / "unpacked") != 0:
            return None
    return wheel_of_system(scratch / "unpacked/usr/share/python-wheels")


def wheel_by_index(scratch: Path) -> Path | None:
    """The pinned wheel from the index that PIP_INDEX_URL names, accepted by its hash alone."""
    index = os.environ.get("PIP_INDEX_URL", "").rstrip("/")
    if not index:
        return None
    page_url = f"{index}/pip/"
    with urllib.request.urlopen(page_url, timeout=60) as page:
        links = re.findall(r'href="([^"#]+)', page.read().decode("utf-8"))
    link = next((link for link in links if link.endswith("/" + PIP_WHEEL)), None)
    if link is None:
        return None
    with urllib.request.urlopen(urllib.parse.urljoin(page_url, link), timeout=120) as download:
        content = download.read()
    if hashlib.sha256(content).hexdigest() != PIP_WHEEL_SHA256:
        raise SystemExit(f"setup: {PIP_WHEEL} from {index} is not the wheel we pinned; not installed")
    wheel = scratch / PIP_WHEEL
    wheel.write_bytes(content)
    return wheel


# ---- what goes into it -------------------------------------------------------------------------------


def requirements() -> tuple[list[str], dict[str, list[str]]]:
    """The requirements without which nothing works, and the optional groups by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    required = [line for extra in EXTRAS_REQUIRED for line in extras[extra]]
    optional = {extra: [line for line in extras[extra] if line not in required] for extra in EXTRAS_OPTIONAL}
    for line in project["dependencies"]:
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        if name in OPTIONAL:
            optional[name] = [line]
        else:
            required.append(line)
    return required, optional


def pip_install(*arguments: str) -> bool:
    quiet = ("-q", "--disable-pip-version-check", "--no-input")
    return run(PYTHON, "-m", "pip", "install", *quiet, *arguments) == 0


def install_wheels(lines: list[str]) -> bool:
    return pip_install("--only-binary", ":all:", "-c", "constraints.txt", *lines)


def install() -> None:
    """Installs every requirement from wheels, then the tree itself as an editable install."""
    required, optional = requirements()
    everything = [*required, *(line for lines in optional.values() for line in lines)]
    say(f"installing {len(everything)} requirements and what they need, wheels only")
    if not install_wheels(everything):
        say("not everything could be had; once more, the optional ones singly")
        if not install_wheels(required):
            raise SystemExit("setup: a required package could not be installed; pip's message is above")
        for name, lines in optional.items():
            if not install_wheels(lines):
                say(f"WITHOUT {name}: no wheel for this machine; {OPTIONAL[name]}")
    # setuptools is installed by now (extra `dev`), so this needs neither network nor isolation.
    if not pip_install("--no-deps", "--no-build-isolation", "-e", "."):
        raise SystemExit("setup: the tree itself could not be installed; pip's message is above")


def set_up() -> None:
    with one_at_a_time():
        if is_current() and runs(PYTHON):
            return
        # An environment copied or moved with its tree has the old path in its scripts: make it anew.
        if stamp().get("root") != str(ROOT) or not runs(PYTHON):
            make_environment()
        install()
        STAMP.write_text(json.dumps(fingerprint()) + "\n", "utf-8")
        say("ready: .venv/bin/wattq")


def main() -> int:
    if sys.argv[1:] == ["--is-current"]:
        return 0 if is_current() else 1
    try:
        set_up()
    except Missing as missing:
        print(f"setup: this machine has no working venv. This helps:\n    {missing}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
