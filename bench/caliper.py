"""A workload file in the shape of Caliper's benchmark files (hyperledger.github.io/caliper), as YAML or as TOML.

Published files can be given as they are, as far as their workload modules have a counterpart here. What is said of
monitors, chaincodes and descriptions has none, and is read over; whatever else is not known is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from bench.assets import KNOWN
from bench.kinds import VALUE_BYTES, VALUE_BYTES_MAX, Kind
from bench.pace import FixedLoad, FixedRate, LinearRate, MaximumRate, Pace

SUFFIXES = (".yaml", ".yml", ".toml")
ROUNDS_MAX = 100
ASSETS_MAX = 1_000
FILE_BYTES_MAX = 1_000_000

Tps = Annotated[float, Meta(gt=0, le=100_000)]
Transactions = Annotated[int, Meta(ge=1, le=10_000_000)]
Seconds = Annotated[int, Meta(ge=1, le=3_600)]


class BadCaliperFile(Exception):
    """A workload file that cannot be used; the message says which, where in it, and why."""


@dataclass(frozen=True, slots=True)
class Share:
    """One of so many clients, each of which has the same part of a round."""

    number: int
    clients: int

    @classmethod
    def all(cls, clients: int) -> list[Share]:
        return [cls(number, clients) for number in range(clients)]

    def of(self, whole: int) -> int:
        """Its part of a whole; all parts add up to it."""
        return whole // self.clients + (self.number < whole % self.clients)


class FixedRateOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tps: Tps = 10.0


class FixedLoadOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``startTps`` and ``startingTps`` are read over: so many are in flight from the beginning on."""

    transactionLoad: Annotated[int, Meta(ge=1, le=8_000)] = 10  # noqa: N815  # Caliper's names, here and below
    startTps: Tps = 1.0  # noqa: N815
    startingTps: Tps = 1.0  # noqa: N815


class LinearRateOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    startingTps: Tps  # noqa: N815
    finishingTps: Tps  # noqa: N815


class MaximumRateOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``includeFailed``: Caliper takes it for true whatever is said, and so do we."""

    tps: Tps = 5.0
    step: Tps = 5.0
    sampleInterval: Annotated[float, Meta(ge=1, le=600)] = 10.0  # noqa: N815
    includeFailed: bool = True  # noqa: N815


class FixedRateControl(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="fixed-rate"):
    opts: FixedRateOptions = FixedRateOptions()

    def pace(self, share: Share) -> Pace:
        return FixedRate(self.opts.tps / share.clients)


class FixedLoadControl(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="fixed-load"):
    opts: FixedLoadOptions = FixedLoadOptions()

    def pace(self, share: Share) -> Pace:
        return FixedLoad(share.of(self.opts.transactionLoad))


class LinearRateControl(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="linear-rate"):
    opts: LinearRateOptions

    def pace(self, share: Share) -> Pace:
        return LinearRate(self.opts.startingTps / share.clients, self.opts.finishingTps / share.clients)


class MaximumRateControl(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="maximum-rate"):
    opts: MaximumRateOptions = MaximumRateOptions()

    def pace(self, share: Share) -> Pace:
        return MaximumRate(self.opts.tps / share.clients, self.opts.step / share.clients, self.opts.sampleInterval)


RateControl = FixedRateControl | FixedLoadControl | LinearRateControl | MaximumRateControl


class Arguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a workload module. ``consensus``: a transaction; else one node is asked, where there is something to ask."""

    byteSize: Annotated[int, Meta(ge=1, le=VALUE_BYTES_MAX)] = VALUE_BYTES  # noqa: N815
    assets: Annotated[int, Meta(ge=1, le=ASSETS_MAX)] = KNOWN
    consensus: bool = False
    chaincodeID: str = ""  # noqa: N815
    contractId: str = ""  # noqa: N815
    create_sizes: tuple[int, ...] = ()
    noSetup: bool = False  # noqa: N815
    money: int = 0


class Module(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    module: str
    arguments: Arguments = Arguments()


class Round(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One load, of so many transactions or so many seconds."""

    label: Annotated[str, Meta(min_length=1, max_length=200)]
    workload: Module
    rateControl: RateControl  # noqa: N815
    txNumber: Transactions | None = None  # noqa: N815
    txDuration: Seconds | None = None  # noqa: N815
    description: str = ""
    chaincodeID: str = ""  # noqa: N815

    @property
    def kind(self) -> Kind:
        return kind_of(self.workload)

    def clients(self, workers: int) -> int:
        """So many of the workers have anything to do."""
        control = self.rateControl
        load = control.opts.transactionLoad if isinstance(control, FixedLoadControl) else workers
        return min(workers, load, workers if self.txNumber is None else self.txNumber)


class Workers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: Annotated[int, Meta(ge=1, le=16)] = 1
    type: str = "local"


class Benchmark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rounds: Annotated[tuple[Round, ...], Meta(min_length=1, max_length=ROUNDS_MAX)]
    workers: Workers = Workers()
    name: str = ""
    description: str = ""


class CaliperFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    test: Benchmark
    monitors: Any = None
    monitor: Any = None
    observer: Any = None


TRANSACTIONS = {
    "create-asset": Kind.ASSET_CREATE,
    "createAsset": Kind.ASSET_CREATE,
    "update-asset": Kind.ASSET_UPDATE,
    "updateAsset": Kind.ASSET_UPDATE,
    "transfer": Kind.TRANSFER,
}
"""Modules of published benchmarks, by the name of their file, that only send transactions."""
EITHER = {
    "get-asset": (Kind.ASSET_QUERY, Kind.ASSET_READ),
    "readAsset": (Kind.ASSET_QUERY, Kind.ASSET_READ),
    "empty-contract": (Kind.EMPTY_QUERY, Kind.EMPTY),
}
"""Those that ask, or with ``consensus: true`` send."""
OWN = {str(kind): kind for kind in Kind if kind is not Kind.DAY}
"""Modules that are our own kinds. A trading day has a clock of its own, and so no place among rounds."""


def kind_of(workload: Module) -> Kind:
    """Raises ``ValueError`` for a module without a counterpart."""
    name = PurePosixPath(workload.module).name.removesuffix(".js")
    if name in EITHER:
        return EITHER[name][workload.arguments.consensus]
    found = TRANSACTIONS.get(name) or OWN.get(name)
    if found is None:
        known = ", ".join(sorted({*EITHER, *TRANSACTIONS, *OWN}))
        raise ValueError(f"no workload {workload.module!r}; there are {known}")
    return found


def read_caliper(path: Path) -> Benchmark:
    """The benchmark that a file describes. Raises ``BadCaliperFile``."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BadCaliperFile(f"{path}: larger than {FILE_BYTES_MAX:,} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise BadCaliperFile(f"{path}: {error.strerror}") from None
    return parse_caliper(data, path)


def parse_caliper(data: bytes, path: Path) -> Benchmark:
    """What a file's bytes describe, in the language that its name says. Raises ``BadCaliperFile``."""
    try:
        test = _decoded(data, path).test
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadCaliperFile(f"{path}: {error}") from None
    for number, each in enumerate(test.rounds):
        place = f"{path}: test.rounds[{number}] ({each.label})"
        if (each.txNumber is None) is (each.txDuration is None):
            raise BadCaliperFile(f"{place}: either txNumber or txDuration says how long it is")
        try:
            kind_of(each.workload)
        except ValueError as error:
            raise BadCaliperFile(f"{place}.workload.module: {error}") from None
    return test


def _decoded(data: bytes, path: Path) -> CaliperFile:
    if path.suffix == ".toml":
        return msgspec.toml.decode(data, type=CaliperFile)
    try:
        import yaml
    except ImportError:
        raise BadCaliperFile(f"{path}: YAML needs PyYAML: pip install 'wattquorum[bench]'") from None
    try:
        return msgspec.yaml.decode(data, type=CaliperFile)
    except yaml.YAMLError as error:
        raise BadCaliperFile(f"{path}: {error}") from None
