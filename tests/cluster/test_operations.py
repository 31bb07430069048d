"""A running network as its operator sees it: health, metrics, log levels, and why nothing commits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from ledgers import ALICE
from network import Network, free_ports, until
from prometheus_client.parser import text_string_to_metric_families

from ca.keys import SigningKey
from sdk.errors import Refused
from sdk.methods import LOG_LEVEL, LogLevelParams

pytestmark = pytest.mark.cluster
WITHIN_S = 60.0
ENGINE = '''"""Loaded at the start of every Python that finds it: blocks leave something else under accounts."""

import ledger.state
from ledger.values import decode_value, encode_value

honest = ledger.state.Overlay.apply


def apply(self, writes, height, index):
    def other(key, value):
        if value is None or not key.startswith("credit/account/"):
            return value
        return encode_value({**decode_value(value), "other": "engine"})

    honest(self, {key: other(key, value) for key, value in writes.items()}, height, index)


ledger.state.Overlay.apply = apply
'''


async def wattq(*arguments: str) -> tuple[int | None, dict[str, Any]]:
    """The command's exit code, and what ``--json`` prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "cli", *arguments, "--json", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    told: dict[str, Any] = json.loads(output)
    return process.returncode, told


async def why(network: Network, *options: str) -> tuple[int | None, dict[str, Any]]:
    return await wattq("why", *(options or ("-d", str(network.cluster.directory))))


def texts(told: dict[str, Any]) -> dict[str, str]:
    return {finding["code"]: finding["text"] for finding in told["findings"]}


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def metrics(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    status, text = await get(url)
    assert status == 200
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def log_of(network: Network, name: str) -> str:
    return (network.cluster.home(name) / "log" / "node.log").read_text()


async def test_an_operators_day(tmp_path: Path) -> None:
    """One network for all of it, since starting one takes longest."""
    network = Network(tmp_path / "net")
    (port,) = free_ports(1)
    file = network.cluster.directory / "cluster.toml"
    file.write_text(file.read_text().replace("[node.node1]\n", f"[node.node1]\nmetrics_port = {port}\n"))
    network.cluster.reload()
    try:
        await network.start()
        dora = await network.admit("dora", "buyer", 0)
        await check_health_and_metrics(network, port)
        await check_log_levels(network, dora.key)
        await check_why_names_who_is_away(network)
        check_no_secrets_are_logged(network, dora.key)
    finally:
        await network.close()


async def check_health_and_metrics(network: Network, port: int) -> None:
    rest, own = network.cluster.rest_url("node1"), f"http://127.0.0.1:{port}"
    for base in (rest, own):
        assert (await get(f"{base}/healthz"))[0] == 200
        status, text = await get(f"{base}/readyz")
        assert (status, json.loads(text)["reasons"]) == (200, [])
        found = await metrics(f"{base}/metrics")
    main = ("channel", "main")
    for phase in ("prepared", "committed", "executed", "certified"):
        assert found["wattq_consensus_phase_seconds_count", frozenset({main, ("phase", phase)})] > 0, phase
    assert found["wattq_ledger_transactions_total", frozenset({main, ("outcome", "ok")})] >= 3
    assert found["wattq_ledger_certified_height", frozenset({main})] >= 3
    assert found["wattq_transport_peer_connected", frozenset({main, ("peer", "node4")})] == 1
    assert found["wattq_statedb_up", frozenset({main})] == 1
    submitted = frozenset({("route", "/v1/transactions"), ("method", "POST"), ("status", "200")})
    assert found["wattq_rest_requests_total", submitted] >= 3
    assert (await get(f"{own}/v1/status"))[0] == 404


async def check_log_levels(network: Network, seller: SigningKey) -> None:
    params = LogLevelParams(logger="wattq.rest", level="debug")
    async with network.client(0, seller, failover=False) as client:
        with pytest.raises(Refused) as refused:
            await client.call(LOG_LEVEL, params)
    assert refused.value.problem.code == "OPERATOR_REQUIRED"
    told = await network.operator.client.call(LOG_LEVEL, params)
    assert told.levels["wattq.rest"] == "debug"
    directory = str(network.cluster.directory)
    code, set_here = await wattq("node", "log-level", "node1", "debug", "-d", directory)
    assert (code, set_here["levels"][""]) == (0, "debug")

    async def logs_debug() -> bool:
        return '"level": "debug"' in log_of(network, "node1")

    await get(network.cluster.rest_url("node1") + "/v1/headers")
    await until(logs_debug, WITHIN_S)
    assert network.cluster.kill("node1", signal.SIGUSR1)

    async def reread() -> bool:
        return "the log level is info now" in log_of(network, "node1")

    await until(reread, WITHIN_S)
    assert network.cluster.pid("node1") is not None


async def check_why_names_who_is_away(network: Network) -> None:
    code, told = await why(network)
    assert (code, told["findings"][0]["code"], told["silent"]) == (0, "COMMITS", {})
    assert set(told["nodes"]) == set(network.cluster.names)
    for name in ("node3", "node4"):
        network.cluster.kill(name)

    async def stands() -> bool:
        status, text = await get(network.cluster.rest_url("node1") + "/v1/why")
        return status == 200 and "STANDS_STILL" in text and '"view_change":{' in text

    await until(stands, WITHIN_S)
    code, told = await why(network)
    found = texts(told)
    assert code == 1
    assert set(told["silent"]) == {"node3", "node4"}
    assert "node3 and node4 are not reachable from node1 and node2" in found["QUORUM_UNREACHABLE"]
    assert "asked for it, node3 and node4 did not; it takes 3" in found["VIEW_CHANGE"]
    url = network.cluster.rest_url("node2")
    one, alone = await why(network, "--node", url)
    assert (one, set(alone["nodes"])) == (1, {"node2"})
    assert "node3 and node4 are not reachable from node2" in texts(alone)["QUORUM_UNREACHABLE"]
    status, text = await get(url + "/readyz")
    assert (status, "hears 1 other validators" in text) == (503, True)
    await network.cluster.up(["node3", "node4"])

    async def commits() -> bool:
        return '"COMMITS"' in (await get(url + "/v1/why"))[1]

    await until(commits, WITHIN_S)


def check_no_secrets_are_logged(network: Network, user: SigningKey) -> None:
    """Node1 has logged at the level debug for a while."""
    key = (network.cluster.home("node1") / "node.key").read_text().splitlines()[1]
    text = "".join(log_of(network, name) for name in network.cluster.names)
    tokens = [token for person in network.people for token in person.client._tokens.values()]
    assert tokens
    assert "BEGIN" not in text
    for secret in (key, *tokens, user.signer):
        assert secret not in text


@pytest.mark.full
async def test_two_engines_two_against_two_are_told_with_the_keys_that_differ(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dora = await network.admit("dora", "buyer", 0)
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "sitecustomize.py").write_text(ENGINE)
    for name in ("node3", "node4"):
        await network.cluster.stop(name)
    with monkeypatch.context() as changed:
        changed.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "engine"), *sys.path]))
        await network.cluster.up(["node3", "node4"])

    async def all_ready() -> bool:
        urls = (network.cluster.rest_url(name) + "/readyz" for name in network.cluster.names)
        return all([(await get(url))[0] == 200 for url in urls])

    await until(all_ready, WITHIN_S)
    deposit = {"account": dora.key.signer, "amount": 7}
    paying = asyncio.ensure_future(
        network.operator.invoke("credit", "deposit", deposit, co_signers=[network.second_operator])
    )
    try:

        async def differ() -> bool:
            return '"OUTCOMES_DIFFER"' in (await get(network.cluster.rest_url("node1") + "/v1/why"))[1]

        await until(differ, WITHIN_S)
        code, told = await why(network)
    finally:
        paying.cancel()
        await asyncio.gather(paying, return_exceptions=True)
    text = texts(told)["OUTCOMES_DIFFER"]
    assert code == 1 or "COMMITS" not in texts(told)
    assert "node1 and node2: state " in text
    assert "node3 and node4: state " in text
    assert "no certificate can form" in text
    assert f"credit/account/{dora.key.signer}" in text
    assert ALICE.signer not in text
    _, from_afar = await why(network, "--node", network.cluster.rest_url("node1"))
    assert dora.key.signer not in json.dumps(from_afar), "a stranger learns who diverged, and no keys"
