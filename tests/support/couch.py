"""A CouchDB for tests: the one of ``WATTQ_TEST_COUCHDB_URL``, else the CouchDB-compatible server from npm.

Tests take databases of their own names; in a CouchDB that was given those are removed when the tests end.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import pytest

from demo.couchdb import CouchServer, install

GIVEN_URL = os.environ.get("WATTQ_TEST_COUCHDB_URL", "")
"""With user and password in it: http://admin:secret@127.0.0.1:5984."""
ANSWER_TIMEOUT_S = 30.0
USER, PASSWORD = "admin", "for tests: not secret"

needs_couchdb = [] if GIVEN_URL else [pytest.mark.needs("node"), pytest.mark.needs("npm")]


@dataclass
class Couch:
    """Where it is and who may enter; ``server`` only if it is ours. ``prefix`` begins the name of each database."""

    url: str
    user: str
    password: str
    server: CouchServer | None = None
    prefix: str = field(default_factory=lambda: f"wattquorum-test-{uuid.uuid4().hex[:12]}")

    def fresh_name(self) -> str:
        """The name of a database that nobody has."""
        return f"{self.prefix}-{uuid.uuid4().hex[:12]}"

    @property
    def state_section(self) -> str:
        """What ``cluster.toml`` says of it."""
        return f'[state]\nbackend = "couchdb"\ndatabase_prefix = "{self.prefix}"\nrequest_timeout_ms = 2000\n'

    def made(self) -> list[str]:
        """The databases that tests have made here."""
        return [name for name in self.call("GET", "/_all_dbs") if name.startswith(self.prefix)]

    def call(self, method: str, path: str) -> Any:
        request = urllib.request.Request(self.url + path, method=method, headers=basic(self.user, self.password))
        with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S) as answer:
            return json.load(answer)


@contextmanager
def any_server() -> Iterator[Couch]:
    """The one that was given, else one of our own."""
    with given(GIVEN_URL) if GIVEN_URL else own_server() as couch:
        yield couch


@contextmanager
def given(url: str) -> Iterator[Couch]:
    """A CouchDB that is not ours: it is left without the databases of the tests."""
    parts = urlsplit(url)
    place = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
    bare = urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))
    couch = Couch(bare, unquote(parts.username or ""), unquote(parts.password or ""))
    try:
        yield couch
    finally:
        for name in couch.made():
            couch.call("DELETE", f"/{quote(name, safe='')}")


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
