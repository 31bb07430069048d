"""The projector's rate against the raw bulk rate of the same CouchDB, interleaved.

    python -m bench.projector --url http://127.0.0.1:5984 [--user admin] [--documents 10000] > figures.json

The password comes from WATTQ_COUCHDB_PASSWORD. Raw: the same documents, made beforehand, in bulks of 500, two at once,
with their revisions. The projector: the state read anew (inserts), then blocks of 200 changes each (updates), with its
indexes, its savepoints and the making of documents from entries. Documents a second, medians.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from typing import Any

from bench.couchdb_clients import Server, document, rate, with_aiohttp
from ledger.state import Entry, MemoryState
from ledger.statedb.couchdb import BULK_DOCUMENTS, BULKS_AT_ONCE, CouchDatabase, Owner
from ledger.statedb.couchdb_client import Access
from ledger.statedb.projector import Projector
from ledger.values import encode_value

REPEATS = 3
BLOCK_CHANGES = 200
PATIENCE_S = 300.0


def entries(count: int, height: int) -> dict[str, Entry]:
    """The documents of the raw measurement, as state."""
    found = (document(number, height) for number in range(count))
    return {each["_id"]: Entry(height, 0, encode_value(each["v"])) for each in found}


def projected(options: argparse.Namespace, name: str) -> tuple[float, float]:
    """Inserts and updates a second."""
    access = Access(options.url, options.user, os.environ["WATTQ_COUCHDB_PASSWORD"])
    database = CouchDatabase(access, name, Owner("00" * 32, "bench", "node1"))
    state = MemoryState(entries(options.documents, 1))
    projector = Projector(database, lambda: (state, 1), 1_000_000, 1 << 30)
    try:
        began = time.perf_counter()
        projector.start()
        assert projector.wait_for(1, PATIENCE_S)
        inserted_s = time.perf_counter() - began
        changes = list(entries(options.documents, 2).items())
        began = time.perf_counter()
        for height, start in enumerate(range(0, len(changes), BLOCK_CHANGES), 2):
            projector.offer(height, dict(changes[start : start + BLOCK_CHANGES]))
        assert projector.wait_for(height, PATIENCE_S)
        return options.documents / inserted_s, options.documents / (time.perf_counter() - began)
    finally:
        projector.stop()
        database.close()


async def raw(options: argparse.Namespace, server: Server) -> tuple[float, float]:
    name = await server.make()
    write = await with_aiohttp(server, name)
    docs = [document(number, 1) for number in range(options.documents)]
    inserts, answers = await rate(write, docs, BULK_DOCUMENTS, BULKS_AT_ONCE)
    revisions = {each["id"]: each["rev"] for each in answers}
    fresh = [{**document(number, 2)} for number in range(options.documents)]
    docs = [{**each, "_rev": revisions[each["_id"]]} for each in fresh]
    updates, _ = await rate(write, docs, BULK_DOCUMENTS, BULKS_AT_ONCE)
    await server.remove(name)
    return inserts, updates


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    server = Server(options.url, options.user, os.environ["WATTQ_COUCHDB_PASSWORD"])
    raws, projections = [], []
    try:
        for number in range(REPEATS):
            raws.append(await raw(options, server))
            name = f"wattquorum-bench-projector-{os.getpid()}-{number}"
            projections.append(await asyncio.to_thread(projected, options, name))
            await server.remove(name)
    finally:
        await server.session.close()
    found: dict[str, Any] = {"documents": options.documents, "repeats": REPEATS}
    for index, what in enumerate(("insert", "update")):
        of_raw = statistics.median(run[index] for run in raws)
        of_projector = statistics.median(run[index] for run in projections)
        found[f"raw_{what}_per_s"], found[f"projector_{what}_per_s"] = round(of_raw), round(of_projector)
        found[f"{what}_ratio"] = round(of_projector / of_raw, 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the projector on a CouchDB.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--user", default="admin")
    parser.add_argument("--documents", type=int, default=10_000)
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
