"""Opens the state database that a node's configuration names. Names, in every error, the setting that is wrong."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from ledger.genesis import Genesis
from ledger.statedb.couchdb import CouchDatabase, Owner, database_name
from ledger.statedb.couchdb_client import Access
from ledger.statedb.documents import StateDatabase
from ledger.statedb.embedded import EmbeddedDatabase
from sdk.configuration import Configuration, ConfigurationError

EMBEDDED_FILE = "documents.sqlite"


def open_state_database(
    configuration: Configuration,
    name: str,
    data: Path,
    genesis: Genesis,
    environment: Mapping[str, str] | None = None,
    *,
    locked: bool = True,
) -> StateDatabase:
    """The state database of node ``name`` with the data directory ``data``. Does not wait for a server.

    ``locked``: this process holds the directory's lock; nobody else may make an unusable file anew.
    """
    if configuration.state.backend == "embedded":
        return EmbeddedDatabase(data / EMBEDDED_FILE, remake=locked)
    owner = Owner(genesis.chain_id.hex(), genesis.channel, name)
    access = couchdb_access(configuration, name, os.environ if environment is None else environment)
    return CouchDatabase(access, database_name(configuration.state.database_prefix, owner), owner)


def couchdb_access(configuration: Configuration, name: str, environment: Mapping[str, str]) -> Access:
    """Where node ``name`` finds its CouchDB, and as whom; ``ConfigurationError`` for what cannot be."""
    state, section = configuration.state, configuration.section(name)
    url = section.couchdb_url or state.couchdb_url
    user, password = (environment.get(variable, "") for variable in (state.user_variable, state.password_variable))
    if not user or not password:
        missing = state.password_variable if user else state.user_variable
        raise ConfigurationError(f"state.backend = couchdb needs a user: the environment variable {missing} is not set")
    return Access(
        url=url.rstrip("/"),
        user=user,
        password=password,
        request_timeout_s=state.request_timeout_ms / 1000,
        tls=_tls(state.ca_file) if url.startswith("https:") else None,
        url_setting=f"node.{name}.couchdb_url" if section.couchdb_url else "state.couchdb_url",
        user_setting=f"the environment variables {state.user_variable} and {state.password_variable}",
    )


def _tls(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"state.ca_file: {ca_file}: {error}") from None
