"""A CouchDB for the tests of this folder, one a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from couch import Couch, any_server
from couch_chain import Chain

from ledger.statedb import projector as projector_module


@pytest.fixture(scope="session")
def couch() -> Iterator[Couch]:
    """A CouchDB, shared: each test takes databases of its own."""
    with any_server() as made:
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Projectors try again, and look, at once."""
    monkeypatch.setattr(projector_module, "CHECK_S", 0.2)
    monkeypatch.setattr(projector_module, "RETRY_S", 0.05)
    monkeypatch.setattr(projector_module, "RETRY_S_MAX", 0.2)


@pytest.fixture
def chain(couch: Couch, impatient: None) -> Iterator[Chain]:
    """Its projector runs, and has caught up."""
    made = Chain(couch)
    made.projector.start()
    made.wait()
    yield made
    made.close()
    made.by_hand("DELETE")
