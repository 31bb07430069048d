"""Starts the CouchDB-compatible server of ``tests/support/couchdb``, for demonstrations and tests without a CouchDB.

Its packages come from the npm registry once, into ``node_modules`` beside it. A server ends with whoever started
it: it watches the pipe that is its standard input.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM, Signals

SERVER = Path(__file__).resolve().parents[1] / "tests" / "support" / "couchdb"
USER_VARIABLE, PASSWORD_VARIABLE = "WATTQ_COUCHDB_USER", "WATTQ_COUCHDB_PASSWORD"
STAMP = "node_modules/.installed"
INSTALL_TIMEOUT_S = 300.0
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0


class CouchServerError(Exception):
    """The server cannot be installed or started; the message says why and what helps."""


def missing_programs() -> list[str]:
    """Which of the programs that it needs are not on PATH."""
    return [name for name in ("node", "npm") if shutil.which(name) is None]


def install() -> None:
    """Fetch the packages that ``package-lock.json`` names, unless they are there. One process at a time."""
    if not (SERVER / "package-lock.json").exists():
        raise CouchServerError(f"{SERVER} is not there: it comes with the repository, not with the wheel")
    if missing := missing_programs():
        raise CouchServerError(f"{' and '.join(missing)} not found: sudo apt install {' '.join(missing)}")
    wanted = hashlib.sha256((SERVER / "package-lock.json").read_bytes()).hexdigest()
    with (SERVER / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = SERVER / STAMP
        if stamp.exists() and stamp.read_text() == wanted:
            return
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        try:
            subprocess.run(command, cwd=SERVER, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
        except subprocess.CalledProcessError as error:
            raise CouchServerError(f"npm ci failed: {error.stderr.strip()}") from None
        except subprocess.TimeoutExpired:
            raise CouchServerError(f"npm ci took more than {INSTALL_TIMEOUT_S:.0f} s") from None
        stamp.write_text(wanted)


class CouchServer:
    """One server process over ``directory``. ``start`` again after ``kill`` finds what was acknowledged."""

    def __init__(self, directory: Path, user: str, password: str, version: str = "3.0.0") -> None:
        self._directory = directory
        self._environment = {"COUCHDB_USER": user, "COUCHDB_PASSWORD": password, "COUCHDB_VERSION": version}
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self.url = ""
        """Without credentials; the same after each start."""

    def start(self) -> None:
        """Start it and wait until it listens; ``CouchServerError`` with its last words if it does not."""
        self._directory.mkdir(parents=True, exist_ok=True)
        log = self._directory.with_name(self._directory.name + ".log")
        with log.open("ab") as errors:
            self._process = process = subprocess.Popen(
                ["node", str(SERVER / "server.js"), str(self._directory), str(self._port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **self._environment},
                start_new_session=True,  # a Ctrl-C is for who started it, who then ends it
            )
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
        self.url = process.stdout.readline().decode().strip() if ready else ""
        if not self.url:
            self.kill()
            raise CouchServerError(f"the CouchDB-compatible server did not start; see {log}")
        self._port = int(self.url.rpartition(":")[2])

    def signal(self, number: Signals) -> None:
        """SIGSTOP makes it hang, SIGCONT goes on."""
        assert self._process is not None, "it runs"
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(SIGKILL)

    def stop(self) -> None:
        self._end(SIGTERM)

    def _end(self, number: Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        if number is not SIGKILL:
            process.send_signal(SIGCONT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def servers(count: int) -> Iterator[tuple[str, ...]]:
    """So many servers, with a user and a password that the processes started meanwhile find in their environment."""
    install()
    password = secrets.token_urlsafe(16)
    os.environ[USER_VARIABLE], os.environ[PASSWORD_VARIABLE] = "admin", password
    with tempfile.TemporaryDirectory(prefix="wattq-couchdb-", ignore_cleanup_errors=True) as directory:
        made = [CouchServer(Path(directory) / str(number), "admin", password) for number in range(count)]
        try:
            for server in made:
                server.start()
            yield tuple(server.url for server in made)
        finally:
            for server in made:
                server.kill()
