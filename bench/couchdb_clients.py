"""Which client writes to a CouchDB fastest: aiohttp alone, aiocouch, ibmcloudant; by bulk size and concurrency.

    python -m bench.couchdb_clients --url http://127.0.0.1:5984 --user admin [--documents 4000] > figures.json

The password comes from WATTQ_COUCHDB_PASSWORD. Each case inserts documents of about 250 bytes into a database of its
own and then updates each of them once, with the revisions kept in memory. Libraries that are not installed are left
out. Cases are interleaved and repeated; the figures are medians, in documents a second.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import importlib
import io
import json
import os
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import msgspec

SIZES = (100, 500, 1_000)
CONCURRENCIES = (1, 2, 4)
REPEATS = 3

Document = dict[str, Any]
Write = Callable[[list[Document]], Awaitable[list[Any]]]
"""Stores a bulk; the answer for each document, with its new revision."""


def document(number: int, version: int) -> Document:
    key = f"market/order/{number:08d}"
    value = {"type": "order", "owner": f"{number:064x}", "price": 100 + version, "energy_wh": number, "status": "open"}
    return {"_id": key, "h": key.encode().hex(), "contract": "market", "version": [version, number], "v": value}


class Server:
    """Databases of a CouchDB, made and removed by hand."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url, self.user, self.password = url, user, password
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        self.session = aiohttp.ClientSession(headers=self.headers)

    async def make(self) -> str:
        name = f"wattquorum-bench-{uuid.uuid4().hex[:12]}"
        async with self.session.put(f"{self.url}/{name}") as answer:
            answer.raise_for_status()
        return name

    async def remove(self, name: str) -> None:
        async with self.session.delete(f"{self.url}/{name}") as answer:
            await answer.read()

    async def bulk(self, name: str, docs: list[Document]) -> list[Any]:
        body = io.BytesIO(msgspec.json.encode({"docs": docs}))
        async with self.session.post(f"{self.url}/{name}/_bulk_docs", data=body) as answer:
            found: list[Any] = msgspec.json.decode(await answer.read())
            return found


async def with_aiohttp(server: Server, name: str) -> Write:
    return lambda docs: server.bulk(name, docs)


async def with_aiocouch(server: Server, name: str) -> Write:
    """Its documented way: ``update_docs``, which reads what is there before it writes."""
    aiocouch = importlib.import_module("aiocouch")
    couch = aiocouch.CouchDB(server.url, user=server.user, password=server.password)
    database = await couch[name]

    async def write(docs: list[Document]) -> list[Any]:
        async with database.update_docs([doc["_id"] for doc in docs], create=True) as bulk:
            wanted = {doc["_id"]: doc for doc in docs}
            async for held in bulk:
                held.update({key: value for key, value in wanted[held.id].items() if not key.startswith("_")})
        found: list[Any] = bulk.response
        return found

    return write


async def with_ibmcloudant(server: Server, name: str) -> Write:
    """Blocking, on requests: in threads, as the projector would have it."""
    ibm = importlib.import_module("ibmcloudant.cloudant_v1")
    basic = importlib.import_module("ibm_cloud_sdk_core.authenticators").BasicAuthenticator
    service = ibm.CloudantV1(authenticator=basic(server.user, server.password))
    service.set_service_url(server.url)

    def write(docs: list[Document]) -> list[Any]:
        found: list[Any] = service.post_bulk_docs(db=name, bulk_docs={"docs": docs}).get_result()
        return found

    return lambda docs: asyncio.to_thread(write, docs)


CLIENTS = {"aiohttp": with_aiohttp, "aiocouch": with_aiocouch, "ibmcloudant": with_ibmcloudant}
NEEDS = {"aiohttp": "aiohttp", "aiocouch": "aiocouch", "ibmcloudant": "ibmcloudant"}


def installed() -> Iterator[str]:
    for name, module in NEEDS.items():
        try:
            importlib.import_module(module)
        except ImportError:
            print(f"{name} is not installed: left out", file=sys.stderr)
        else:
            yield name


async def rate(write: Write, docs: list[Document], size: int, concurrency: int) -> tuple[float, list[Any]]:
    """Documents a second, and the answers in order."""
    bulks = [docs[start : start + size] for start in range(0, len(docs), size)]
    gate = asyncio.Semaphore(concurrency)

    async def one(bulk: list[Document]) -> list[Any]:
        async with gate:
            return await write(bulk)

    began = time.perf_counter()
    answers = await asyncio.gather(*(one(bulk) for bulk in bulks))
    took_s = time.perf_counter() - began
    return len(docs) / took_s, [each for answer in answers for each in answer]


async def case(server: Server, client: str, size: int, concurrency: int, count: int) -> dict[str, float]:
    """Insert, then update, ``count`` documents."""
    name = await server.make()
    try:
        write = await CLIENTS[client](server, name)
        inserts, answers = await rate(write, [document(n, 1) for n in range(count)], size, concurrency)
        revisions = {each["id"]: each["rev"] for each in answers}
        fresh = [document(n, 2) for n in range(count)]
        docs = [{**doc, "_rev": revisions[doc["_id"]]} for doc in fresh]
        updates, answers = await rate(write, docs, size, concurrency)
        assert all(each.get("ok") for each in answers), "every update is stored"
        return {"insert": inserts, "update": updates}
    finally:
        await server.remove(name)


async def measure(server: Server, count: int) -> list[dict[str, Any]]:
    names = list(installed())
    cases = [(name, size, concurrency) for name in names for size in SIZES for concurrency in CONCURRENCIES]
    found: dict[tuple[str, int, int], list[dict[str, float]]] = {each: [] for each in cases}
    for _ in range(REPEATS):
        for each in cases:
            if each[0] == "aiocouch" and each[2] > 1:
                continue
            found[each].append(await case(server, *each, count))
    return [
        {
            "client": client,
            "bulk_documents": size,
            "concurrency": concurrency,
            "insert_per_s": round(statistics.median(run["insert"] for run in runs)),
            "update_per_s": round(statistics.median(run["update"] for run in runs)),
        }
        for (client, size, concurrency), runs in found.items()
        if runs
    ]


async def run(options: argparse.Namespace) -> None:
    server = Server(options.url, options.user, os.environ["WATTQ_COUCHDB_PASSWORD"])
    try:
        async with server.session.get(server.url) as answer:
            about = await answer.json()
        rows = await measure(server, options.documents)
        told = {"server": about, "documents": options.documents, "repeats": REPEATS, "cases": rows}
        print(json.dumps(told, indent=1))
    finally:
        await server.session.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure clients of a CouchDB.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--user", default="admin")
    parser.add_argument("--documents", type=int, default=4_000)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
