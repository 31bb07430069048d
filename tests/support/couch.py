"""A CouchDB for tests: the one of ``WATTQ_TEST_COUCHDB_URL``, else the CouchDB-compatible server from npm."""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import pytest

from demo.couchdb import CouchServer, install

GIVEN_URL = os.environ.get("WATTQ_TEST_COUCHDB_URL", "")
"""With user and password in it: http://admin:secret@127.0.0.1:5984."""
USER, PASSWORD = "admin", "for tests: not secret"

needs_couchdb = [] if GIVEN_URL else [pytest.mark.needs("node"), pytest.mark.needs("npm")]


@dataclass
class Couch:
    """Where it is and who may enter; ``server`` only if it is ours."""

    url: str
    user: str
    password: str
    server: CouchServer | None = None
    names: list[str] = field(default_factory=list)

    def fresh_name(self) -> str:
        """The name of a database that nobody has; removed when the tests end."""
        name = f"wattquorum-test-{uuid.uuid4().hex[:12]}"
        self.names.append(name)
        return name


def given() -> Couch:
    parts = urlsplit(GIVEN_URL)
    place = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
    bare = urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))
    return Couch(bare, unquote(parts.username or ""), unquote(parts.password or ""))


@contextmanager
def own_server(version: str = "3.0.0") -> Iterator[Couch]:
    """A server of our own, ended and removed for sure."""
    install()
    directory = Path(tempfile.mkdtemp(prefix="wattq-couchdb-"))
    server = CouchServer(directory / "data", USER, PASSWORD, version)
    try:
        server.start()
        yield Couch(server.url, USER, PASSWORD, server)
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


def basic(user: str, password: str) -> dict[str, str]:
    """The header that says who asks."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
