"""A real node's REST, fuzzed from its own OpenAPI document: no server error, and every answer as it is documented."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from acceptance import is_sometimes_accepted
from fuzzing import NOT_FUZZED, Fuzz
from network import DEPOSIT, Network

from api.openapi import document
from sdk.methods import HEADERS, HeadersParams

pytestmark = pytest.mark.cluster

FAST = "rest_signer_calls_per_s_max = 100000\nrest_address_calls_per_s_max = 100000"
"""One address asks for everything here; its pace has tests of its own."""
SEED = "1"
PATIENCE_MS = 10_000
"""On a busy machine only what is sent ends a view."""


@pytest_asyncio.fixture
async def fuzz(tmp_path: Path) -> AsyncIterator[Fuzz]:
    """A node with something to tell: blocks, and an operator's transaction."""
    network = Network(tmp_path / "net", extra=FAST, request_timeout_ms=PATIENCE_MS)
    try:
        await network.start()
        deposit = {"account": network.operator.key.signer, "amount": DEPOSIT}
        outcome = await network.operator.invoke("credit", "deposit", deposit, co_signers=[network.second_operator])
        yield await fuzz_of(network, outcome.tx_id, outcome.height)
        await network.agree()  # and on a busy machine perhaps in a later view
    finally:
        await network.close()


async def fuzz_of(network: Network, tx_id: str, height: int) -> Fuzz:
    """``tx_id``, ``height``: of a deposit to the operator."""
    client, signer = network.operator.client, network.operator.key.signer
    await client.query({"v.type": "user"})
    headers = (await client.call(HEADERS, HeadersParams(first=1, limit=5))).headers
    names: dict[str, list[str] | list[int]] = {
        "tx_id": [tx_id],
        "hash": [header.hash for header in headers],
        "height": [*(header.height for header in headers), height],
        "signer": [signer],
        "key": [f"credit/account/{signer}", "governance/limits", "market/trade/1"],
        "interval": [(await client.status()).block_time_ms // 900_000],
    }
    url = network.cluster.rest_url("node1")
    return Fuzz(url, client._tokens[url], names)


@pytest.mark.timeout(300)
async def test_a_sample_of_every_operation_is_answered_as_documented(fuzz: Fuzz, tmp_path: Path) -> None:
    options = ("--phases", "fuzzing", "--max-examples", "2", "--no-shrink", "--seed", SEED, "--workers", "2")
    code, output = await fuzz.run(tmp_path, *options)
    assert code == 0, output


@pytest.mark.full
@pytest.mark.timeout(3_600)
async def test_the_whole_specification_is_answered_as_documented(fuzz: Fuzz, tmp_path: Path) -> None:
    """Every boundary of every parameter, every verb, and some hundred calls by chance an operation: where chance makes
    good ones, one is accepted."""
    options = ("--phases", "coverage,fuzzing", "--max-examples", "200", "--workers", "2")
    code, output = await fuzz.run(tmp_path, *options)
    assert code == 0, output
    accepted = [
        "GET /openapi.json",
        *(tmp_path / "accepted.txt").read_text(encoding="utf-8").splitlines(),
    ]  # it was read
    assert operations_that_may_be_accepted() - set(accepted) == set()


def operations_that_may_be_accepted() -> set[str]:
    return {
        f"{verb.upper()} {path}"
        for path, verbs in document()["paths"].items()
        for verb, operation in verbs.items()
        if NOT_FUZZED not in operation["tags"] and is_sometimes_accepted(path)
    }
