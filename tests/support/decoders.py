"""Whatever reads bytes from outside: how, which errors are its refusals, and what it reads when all is well.

Anything else that comes out of one is a fault. ``tests/fuzz`` throws some thousand damaged texts at each, seeded;
``python -m guided NAME`` has atheris search on, guided by which lines are reached (CONTRIBUTING.md).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, get_args, get_origin

import governed
import ledgers
import msgspec
from decoder import Decoder, dumped, text, tree
from disk_decoders import ON_DISK
from link_decoders import ON_LINKS, a_ledger

from api.socket import decode_params
from api.socket_streams import read_stream_params
from api.stream_doors import _read as read_stream_request
from bench.caliper import BadCaliperFile, parse_caliper
from bench.workload import BadWorkload, parse_workload
from ca.backup import backup_of, key_of
from ca.certificates import (
    InvalidCertificate,
    Role,
    certificate_facts,
    create_request,
    request_facts,
    requested_key,
    root_fingerprint,
)
from ca.keys import InvalidKey, SigningKey
from contracts.catalog import shipped_sources
from contracts.language import ContractInvalid, check
from contracts.sandbox.protocol import Outcomes, decode_answer
from faults.reading import BadScenario, parse_scenario
from ledger.accusations import read_evidence
from ledger.authentication import read_root
from ledger.codes import Refusal
from ledger.envelope import envelope_from_bytes, parse_payload
from ledger.genesis import GenesisInvalid, parse_genesis
from ledger.statedb.selector import SelectorInvalid, parse_query, read_bookmark, write_bookmark
from ledger.values import ValueInvalid, canonical_value, encode_value
from meter.broker import packets
from meter.counters import Verdict
from meter.errors import ProfileError
from meter.feed import FeedDesk
from meter.profile import DeviceProfile
from meter.strict import parse_toml
from pbft.config import ReplicaConfig
from pbft.gate import Gate, Rejected
from pbft.messages import Message, Scope, encode_message, split_frame
from sdk.configuration import ConfigurationError, parse
from sdk.errors import Refused
from sdk.methods import METHODS

PASSPHRASE = "a long enough passphrase"
ROOT = Path(__file__).resolve().parents[2]
# ------------------------------------------------------------------------------------ replicas and chain


@cache
def _gate() -> Gate:
    keys = tuple(key.public_key for key in ledgers.VALIDATORS)
    scope = Scope(ledgers.GENESIS.chain_id, "main", 0)
    return Gate(ReplicaConfig(scope, keys, 0, checkpoint_interval_blocks=8, window_blocks=16), a_ledger())


def _received(data: bytes) -> object:
    gate = _gate()
    return gate.verify(1, gate.decode(split_frame(data)[1]))


def _sample(kind: Any) -> Any:
    """Something of this type: of a union its first, of a collection one."""
    inside = get_args(kind)
    if get_origin(kind) is Annotated:
        return b"d" * (inside[1].max_length or 4) if inside[0] is bytes else _sample(inside[0])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind(*(_sample(field.type) for field in msgspec.structs.fields(kind)))
    if get_origin(kind) is tuple:
        return tuple(_sample(each) for each in inside if each is not ...)
    if inside:
        return _sample(inside[0])
    return {bytes: b"d" * 32, str: "main", int: 1, bool: True}[kind]


def _messages() -> list[bytes]:
    """One of each kind."""
    return [bytes(8) + encode_message(_sample(kind)) for kind in get_args(Message)]


def _payloads() -> list[bytes]:
    return dumped(ledgers.payload_of((ledgers.ALICE,)), ledgers.payload_of((ledgers.ALICE, ledgers.BOB)))


def _certificates() -> list[bytes]:
    key = SigningKey.from_seed(b"k")
    return [
        governed.certificate(key, "name", "north", "buyer", 7),
        governed.certificate(key, "ca", "north", "node", 8, ca=True),
    ]


def _certified(data: bytes) -> object:
    root = _certificates()[1]
    return (read_root(data), certificate_facts(data, [root]))


def _requests() -> list[bytes]:
    return [create_request(SigningKey.from_seed(b"k"), "name", "organisation", Role.BUYER)]


def _selected(wanted: Any) -> object:
    return parse_query(wanted, 5) if isinstance(wanted, dict) else None


# ---------------------------------------------------------------------------------- clients and operators


def _called(data: bytes) -> object:
    name = sorted(METHODS)[data[0] % len(METHODS)] if data else ""
    return decode_params(name, msgspec.Raw(data[1:]))


def _calls() -> list[bytes]:
    bodies = [{}, {"signer": "a" * 64}, {"payload": "x", "signatures": []}, {"height": 5}]
    return [bytes([number]) + msgspec.msgpack.encode(body) for number in range(len(METHODS)) for body in bodies]


def _backups() -> list[bytes]:
    return [backup_of(SigningKey.from_seed(b"k"), PASSPHRASE).encode()]


# ------------------------------------------------------------------------------------------------ meters


class _Gateway:
    """Believes every sample."""

    def unit(self, serial: str) -> SimpleNamespace:
        return SimpleNamespace(serial=serial, is_fed=True)

    async def sample(self, unit: object, sample: object) -> Verdict:
        return Verdict.IN_LINE


def _fed(data: bytes) -> object:
    clock = SimpleNamespace(now_ms=lambda: 1_000, rate=1.0)
    desk = FeedDesk(_Gateway(), clock, SimpleNamespace(offset_ms=0))  # type: ignore[arg-type]
    return asyncio.run(desk.take("m", data))


def _packets(data: bytes) -> object:
    body = data[1:]
    kinds: list[Callable[[bytes], object]] = [
        packets.decode_connect, packets.decode_subscribe, packets.decode_unsubscribe, packets.decode_puback,
        lambda body: packets.decode_publish(body[0] if body else 0, body[1:]),
    ]  # fmt: skip
    return kinds[data[0] % len(kinds)](body) if data else None


def _packet_samples() -> list[bytes]:
    connect = b"\x00\x04MQTT\x04\xce\x00\x3c\x00\x01c\x00\x01t\x00\x01w\x00\x01u\x00\x01p"
    filters = b"\x00\x01\x00\x03a/#\x01"
    return [
        b"\x00" + connect,
        b"\x01" + filters,
        b"\x02" + filters[:-1],
        b"\x03\x00\x01",
        b"\x04\x02\x00\x03a/b\x00\x01x",
    ]


def _profiles() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "meter" / "profiles").glob("*.toml"))[:3]]


def _files(pattern: str) -> list[bytes]:
    """The examples of this kind."""
    return [path.read_bytes() for path in sorted((ROOT / "examples").glob(pattern))]


DECODERS: dict[str, Decoder] = {
    "frames of replicas": Decoder(_received, (Rejected,), _messages),
    "envelopes": Decoder(envelope_from_bytes, (Refusal,), lambda: [ledgers.envelope().raw]),
    "payloads": Decoder(parse_payload, (Refusal,), _payloads),
    "values": Decoder(canonical_value, (ValueInvalid,), lambda: [encode_value({"a": [1, 2**70, None, True, "x"]})]),
    "genesis files": Decoder(
        parse_genesis, (GenesisInvalid,), lambda: [ledgers.GENESIS.raw, governed.make_genesis().raw]
    ),
    "evidence": Decoder(read_evidence, (), lambda: [b"\x94\x00\x00\x90\x90"]),
    "certificates": Decoder(_certified, (InvalidCertificate,), _certificates),
    "roots": Decoder(root_fingerprint, (InvalidCertificate,), _certificates),
    "certificate requests": Decoder(request_facts, (InvalidCertificate,), _requests),
    "keys of requests": Decoder(requested_key, (InvalidCertificate,), _requests),
    "backups of keys": Decoder(text(lambda text: key_of(text, PASSPHRASE)), (InvalidKey,), _backups),
    "selectors": Decoder(tree(_selected), (SelectorInvalid,), lambda: dumped({"a": {"$gt": 1}, "$or": [{"b": None}]})),
    "bookmarks": Decoder(
        text(lambda text: read_bookmark(text, 1)), (SelectorInvalid,), lambda: [write_bookmark([1, "key"]).encode()]
    ),
    "calls over the socket": Decoder(_called, (Refused,), _calls),
    "streams over the socket": Decoder(
        lambda data: read_stream_params(msgspec.Raw(data)),
        (Refused,),
        lambda: [msgspec.msgpack.encode({"topics": ["blocks"], "height": 3})],
    ),
    "streams over WebSockets": Decoder(
        text(read_stream_request), (Refused,), lambda: dumped({"token": "", "topics": ["blocks"]})
    ),
    "samples of meters": Decoder(
        _fed, (), lambda: dumped({"time_ms": 900, "import_wh": 5, "export_wh": 0, "power_w": 3})
    ),
    "MQTT packets": Decoder(_packets, (packets.Malformed,), _packet_samples),
    "profiles of meters": Decoder(
        text(lambda text: parse_toml(text, DeviceProfile, "file")), (ProfileError,), _profiles
    ),
    "configurations": Decoder(
        text(lambda text: parse(text, "file")), (ConfigurationError,), lambda: [(ROOT / "cluster.toml").read_bytes()]
    ),
    "scenarios": Decoder(
        text(lambda text: parse_scenario(text, "file")),
        (BadScenario,),
        lambda: [path.read_bytes() for path in sorted((ROOT / "faults" / "library").glob("*.toml"))[:8]],
    ),
    "Caliper's workload files, YAML": Decoder(
        lambda data: parse_caliper(data, Path("file.yaml")), (BadCaliperFile,), lambda: _files("workloads/*.yaml")
    ),
    "Caliper's workload files, TOML": Decoder(
        lambda data: parse_caliper(data, Path("file.toml")), (BadCaliperFile,), lambda: _files("workloads/*.toml")
    ),
    "sweeps": Decoder(
        lambda data: parse_workload(data, Path("file.toml")), (BadWorkload,), lambda: _files("sweeps/*.toml")
    ),
    "contracts": Decoder(
        text(check), (ContractInvalid,), lambda: [source.encode()[:4_000] for source in shipped_sources().values()]
    ),
    "workers' answers": Decoder(
        decode_answer,
        (msgspec.MsgspecError, UnicodeDecodeError, RecursionError),
        lambda: [msgspec.msgpack.encode(Outcomes([], 0.5))],
    ),
    **ON_LINKS,
    **ON_DISK,
}
"""By what it reads."""

DEEP = [
    b"[" * 20_000,
    b'{"a":' * 20_000,
    b"\x91" * 20_000,
    b"\x81\xa1a" * 20_000,
    b"(" * 20_000,
    b"a = " + b"[" * 20_000,
    b"\x30\x80" * 5_000,
    b"a." * 20_000 + b" = 1",
]
PIECES = [
    b"",
    b"\x00",
    b"\xff",
    b"\xc1",
    b"\x7f\xff\xff\xff",
    b"\xff" * 9,
    b"-1",
    b"1e999",
    b"null",
    b"NaN",
    b"[]",
    b"{}",
    b'""',
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\xf0\x9f\x98\x80",
    b"9" * 400,
    b"\xc7\x01\x05a",
    b"\xcb" + bytes(8),
    b"\n[[",
    b"true",
]


def damaged(samples: Sequence[bytes], chance: random.Random) -> bytes:
    """One of the samples, cut, spliced with another, its bytes flipped, pieces put in; or something deep."""
    if chance.random() < 0.02:
        return chance.choice(DEEP)
    data = bytearray(chance.choice(samples))
    for _ in range(chance.randint(1, 6)):
        at, other = chance.randint(0, len(data)), chance.choice(samples)
        kind = chance.randrange(6)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at:at] = chance.choice(DEEP if chance.random() < 0.05 else PIECES)
        elif kind == 2:
            del data[at : at + chance.randint(1, 16)]
        elif kind == 3:
            data = data[:at] + other[chance.randint(0, len(other)) :]
        elif kind == 4 and data:
            data[at % len(data)] = chance.randrange(256)
        else:
            piece = other[chance.randint(0, len(other)) :][: chance.randint(1, 64)]
            data[at : at + len(piece)] = piece
    return bytes(data)


def throw(name: str, data: bytes) -> None:
    """Have a decoder read bytes; its refusals are as good as an answer."""
    decoder = DECODERS[name]
    with suppress(*decoder.refusals):
        decoder.read(data)
