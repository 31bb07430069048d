"""`wattq mqtt`: the users of the embedded broker; and `wattq meter replace` at a gateway's door."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ca.keys import SigningKey
from cli.meter import app as meter_app
from cli.mqtt import app
from ledger.genesis import GENESIS_FILE_NAME
from meter.block_clock import BlockClock
from meter.broker.users import is_password, load_users
from meter.buffer import ReadingBuffer
from meter.counters import Sample
from meter.door import Door
from meter.feed import FeedDesk
from meter.gateway import Gateway
from meter.intervals import INTERVAL_MS, Reading
from meter.profile import load_profile
from meter.units import MeterUnit
from sdk.clock import Clock

PARTY = "a" * 64
TOKEN = "a token of some length"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


def test_users_come_and_go(tmp_path: Path) -> None:
    file = str(tmp_path / "mqtt-users.toml")
    added = run("user", file, "home", "--password", "a good one", "--party", PARTY, "--meter", "M-1")
    assert added.exit_code == 0, added.output
    assert run("user", file, "scada", "--password", "another one", "--meter", "M-2", "--feeds").exit_code == 0
    assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
    users = load_users(Path(file))
    assert is_password(users["home"], b"a good one")
    assert "a good one" not in Path(file).read_text()
    assert json.loads(run("list", file, "--json").output) == {
        "home": {"parties": [PARTY], "meters": ["M-1"], "feeds": False, "home": True},
        "scada": {"parties": [], "meters": ["M-2"], "feeds": True, "home": True},
    }
    assert "scada: meter M-2; feeds" in run("list", file).output
    assert run("user", file, "home", "--password", "a newer one").exit_code == 0
    assert is_password(load_users(Path(file))["home"], b"a newer one")
    assert run("remove", file, "home").exit_code == 0
    assert set(load_users(Path(file))) == {"scada"}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("user", "FILE", "home", "--password", "short"), "at least 8"),
        (("user", "FILE", "no/slash", "--password", "long enough"), "FILE"),
        (("user", "FILE", "home", "--password", "long enough", "--meter", 'M"\n[x]'), "FILE"),
        (("remove", "FILE", "nobody"), "no user nobody"),
    ],
)
def test_what_is_refused_changes_nothing(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    file = tmp_path / "users.toml"
    run("user", str(file), "kept", "--password", "long enough")
    before = file.read_text()
    refused = run(*(str(file) if each == "FILE" else each for each in arguments))
    assert (refused.exit_code, why.replace("FILE", str(file)) in refused.output) == (2, True), refused.output
    assert file.read_text() == before


async def test_a_meter_is_replaced_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, genesis_file: Path
) -> None:
    async def submit(readings: list[Reading]) -> None: ...

    monkeypatch.setenv("WATTQ_GATEWAY_TOKEN", TOKEN)
    key, clock = SigningKey.from_seed(b"gateway"), Clock()
    key.save(tmp_path / "gateway.key")
    SigningKey.from_seed(b"stranger").save(tmp_path / "stranger.key")
    buffer = ReadingBuffer(tmp_path / "buffer")
    unit = MeterUnit("FED", "", 0, 1, load_profile("sdm630"), 20_000)
    gateway = Gateway([unit], clock, submit, buffer)
    await gateway.sample(unit, Sample(clock.now_ms() - INTERVAL_MS // 2, 5_000, 0))
    door = Door(gateway, FeedDesk(gateway, clock, BlockClock(clock)), TOKEN, chain_of(genesis_file), [key.signer])
    port = await door.listen("127.0.0.1", 0)

    async def replace(meter: str = "FED", old: str = "5050,0", signer: str = "gateway") -> Any:
        options = ["--door", f"http://127.0.0.1:{port}", "--genesis", str(genesis_file), "--old", old]
        options += ["--key", str(tmp_path / f"{signer}.key")]
        return await asyncio.to_thread(CliRunner().invoke, meter_app, ["replace", meter, *options])

    for arguments, code, why in (
        ({"meter": "NOBODY"}, 1, "has no meter NOBODY"),
        ({"signer": "stranger"}, 1, "NOT_YOURS"),
        ({"old": "900000,0"}, 1, "IMPLAUSIBLE"),
        ({"old": "x"}, 2, "not import,export"),
        ({}, 0, " from now on"),
        ({}, 1, "IMPLAUSIBLE"),  # the new meter does not show what the old one did
    ):
        told = await replace(**arguments)
        assert (told.exit_code, why in told.output) == (code, True), (arguments, told.output)
    monkeypatch.setenv("WATTQ_GATEWAY_TOKEN", "wrong")
    assert "IDENTITY_REQUIRED" in (await replace()).output
    await door.close()
    assert "cannot be asked" in (await replace()).output
    buffer.close()


@pytest.fixture
def genesis_file(tmp_path: Path) -> Path:
    from network import configuration_text

    from cli.contracts import shipped_contracts
    from cluster import prepare
    from sdk.configuration import parse

    text = configuration_text(4)
    prepare(tmp_path / "net", parse(text, "test"), text, shipped_contracts())
    return tmp_path / "net" / GENESIS_FILE_NAME


def chain_of(file: Path) -> str:
    from ledger.genesis import load_genesis

    return load_genesis(file).chain_id.hex()
