"""A CouchDB for the tests of this folder, one a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from couch import GIVEN_URL, Couch, given, own_server


@pytest.fixture(scope="session")
def couch() -> Iterator[Couch]:
    """A CouchDB, shared: each test takes databases of its own."""
    if GIVEN_URL:
        yield given()
        return
    with own_server() as made:
        yield made
