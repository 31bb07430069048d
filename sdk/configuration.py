"""``cluster.toml``: topology, clock, timers and limits, read once into frozen structures.

Unknown keys and values out of range raise ``ConfigurationError`` naming file and key. Any single value can
be overridden by an environment variable ``WATTQ_<SECTION>__<KEY>`` (for example ``WATTQ_LIMITS__POOL_BYTES_MAX``).
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from ledger.epochs import new_view_bytes_max_of
from sdk.mqtt_section import MqttSection
from sdk.wire import REQUEST_BYTES_MAX

ENVIRONMENT_PREFIX = "WATTQ_"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
PORT_KEYS = ("peer_port", "rest_port", "client_port", "metrics_port", "mqtt_port", "gateway_port")
"""What a node may listen on; 0 where it may be left out."""
NODES_MIN = 4
NODES_MAX = 100
SNAPSHOT_GAP_CHECKPOINTS_MIN = 8
"""While a snapshot travels the others go on; nearer than this a newcomer would take one after another."""

ADDRESS_PATTERN = r"^([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}\Z"
Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Bytes = Annotated[int, Meta(ge=1024, le=1 << 34)]
Milliseconds = Annotated[int, Meta(ge=1, le=86_400_000)]
Percent = Annotated[int, Meta(ge=0, le=100)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class ConfigurationError(Exception):
    """A configuration that cannot be used; the message names file and key."""


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who this network is. ``lab`` allows an accelerated clock and fault injection, never in earnest use.

    ``first_primary``: the node that leads first; the first one of the file if empty. ``ca_url``: where nodes without a
    ``certificate_authority`` of their own pass enrolment on to.
    """

    name: Name = "wattquorum-local"
    channel: Name = "main"
    organisation: Annotated[str, Meta(min_length=1, max_length=60)] = "Wattquorum"
    lab: bool = False
    first_primary: str = ""
    ca_url: Annotated[str, Meta(max_length=512)] = ""


class Primary(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is asked of a primary. ``report_primaries``: report those caught lying or slow (``governance.report``)."""

    primary_share_percent_min: Percent = 40
    primary_window_ms: Milliseconds = 5_000
    report_primaries: bool = True


class ClockSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Only under ``lab``: block time is ``start`` (RFC 3339) at ``wall_start_ms`` and runs ``rate`` times as fast."""

    start: str = ""
    rate: Annotated[float, Meta(gt=0, le=100_000)] = 1.0
    wall_start_ms: Annotated[int, Meta(ge=0)] = 0

    @property
    def start_ms(self) -> int | None:
        if not self.start:
            return None
        moment = datetime.fromisoformat(self.start)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


class Timers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Real-time waits of consensus, in milliseconds."""

    batch_delay_ms_max: Milliseconds = 20
    block_idle_ms_max: Milliseconds = 1_000
    request_timeout_ms: Milliseconds = 2_000
    view_change_timeout_ms: Milliseconds = 2_000
    view_change_timeout_ms_max: Milliseconds = 16_000
    status_interval_ms: Milliseconds = 500
    clock_tolerance_ms: Milliseconds = 10_000


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every bound that an operator may move. The first group is fixed in genesis, since votes depend on it."""

    envelope_bytes_max: Bytes = 57_344
    batch_transactions_max: Count = 500
    batch_bytes_max: Bytes = 1_000_000
    block_gas_max: Annotated[int, Meta(ge=2_000_000, le=10**12)] = 12_000_000
    checkpoint_interval_blocks: Count = 64
    window_blocks: Count = 128
    rotation_blocks: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    snapshot_depth: Annotated[int, Meta(ge=0, le=4)] = 2

    pipeline_depth: Count = 8
    pool_transactions_max: Count = 10_000
    pool_bytes_max: Bytes = 32_000_000
    client_pool_share_percent: Annotated[int, Meta(ge=1, le=100)] = 50
    snapshot_gap_blocks: Count = 1_000
    peer_queue_bytes_max: Bytes = 16_000_000
    observers_max: Annotated[int, Meta(ge=0, le=1_000)] = 16
    observer_bytes_per_s_max: Bytes = 8_000_000
    faults_per_s_max: Count = 20
    penalty_ms: Milliseconds = 5_000
    useless_per_s_max: Count = 4_000
    client_requests_per_s_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 200
    rest_body_bytes_max: Bytes = 262_144
    rest_stranger_body_bytes_max: Bytes = 131_072
    rest_address_calls_per_s_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    rest_signer_calls_per_s_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 200
    rest_connections_max: Count = 256
    sessions_max: Count = 4_096
    channels_max: Annotated[int, Meta(ge=0, le=128)] = 8
    history_blocks: Annotated[int, Meta(ge=0, le=2**53)] = 0
    log_file_bytes_max: Bytes = 10_000_000
    log_files_max: Count = 5


class RestSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``cors_origins``: from where other pages may ask a node in a browser, each ``https://HOST`` or with a port."""

    cors_origins: tuple[Annotated[str, Meta(pattern=r"^https?://[A-Za-z0-9.\[\]:-]{1,253}\Z")], ...] = ()


class StateSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The state database that queries read. Its user and password come from the environment variables named here.

    ``couchdb_url`` is for nodes without one of their own; ``lag_blocks_max`` 0: each commit waits for it.
    """

    backend: Annotated[str, Meta(pattern="^(embedded|couchdb)$")] = "embedded"
    couchdb_url: str = ""
    database_prefix: Annotated[str, Meta(pattern="^[a-z][a-z0-9_-]{0,39}$")] = "wattquorum"
    user_variable: Annotated[str, Meta(pattern="^[A-Z][A-Z0-9_]{0,63}$")] = "WATTQ_COUCHDB_USER"
    password_variable: Annotated[str, Meta(pattern="^[A-Z][A-Z0-9_]{0,63}$")] = "WATTQ_COUCHDB_PASSWORD"
    ca_file: str = ""
    plain_http: bool = False
    request_timeout_ms: Annotated[int, Meta(ge=100, le=300_000)] = 10_000
    lag_blocks_max: Annotated[int, Meta(ge=0, le=10_000_000)] = 1_000
    lag_bytes_max: Bytes = 64_000_000

    write_interval_ms: Annotated[int, Meta(ge=0, le=10_000)] = 200

    @property
    def lag_max(self) -> tuple[int, int, float]:
        """Blocks, bytes, and the seconds between two writes: none where SQLite or each commit waits for them."""
        combines = self.backend == "couchdb" and self.lag_blocks_max > 0
        return self.lag_blocks_max, self.lag_bytes_max, self.write_interval_ms / 1000 if combines else 0.0


class SandboxSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where contracts run. ``auto``: the strongest that this machine has; any other is had or refused."""

    mode: Annotated[str, Meta(pattern="^(auto|in-process|worker|bubblewrap)$")] = "auto"


class MeterSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A meter that this node polls over Modbus TCP: ``address`` is HOST:PORT, ``profile`` a device profile's name. With
    ``source = "scada"`` it is fed over MQTT or HTTP instead, and has neither."""

    serial: Name
    source: Annotated[str, Meta(pattern="^(modbus|scada)$")] = "modbus"
    address: str = ""
    unit: Annotated[int, Meta(ge=0, le=255)] = 1
    profile: str = "sdm630"
    rated_power_w: Count = 20_000


class NodeSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One node process. Directories are relative to the file; ports 0 mean 'not served'.

    ``observer``: not a validator when the network is made; the members may make it one later. ``addresses``: what else
    the node is reached by, each HOST:PORT, beside ``host`` and its certificate's names with its own ports.
    """

    host: str = "127.0.0.1"
    peer_port: Port
    rest_port: Port
    client_port: Port
    metrics_port: Port = 0
    mqtt_port: Port = 0
    gateway_port: Port = 0
    directory: str = ""
    observer: bool = False
    couchdb_url: str = ""
    certificate_authority: str = ""
    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"
    log_format: Annotated[str, Meta(pattern="^(json|text)$")] = "json"
    addresses: tuple[Annotated[str, Meta(pattern=ADDRESS_PATTERN)], ...] = ()
    meter: tuple[MeterSection, ...] = ()


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file. ``node`` keeps the file's order: without the observers, it is the validators' at genesis."""

    network: Network = msgspec.field(default_factory=Network)
    clock: ClockSection = msgspec.field(default_factory=ClockSection)
    timers: Timers = msgspec.field(default_factory=Timers)
    primary: Primary = msgspec.field(default_factory=Primary)
    limits: Limits = msgspec.field(default_factory=Limits)
    rest: RestSection = msgspec.field(default_factory=RestSection)
    state: StateSection = msgspec.field(default_factory=StateSection)
    sandbox: SandboxSection = msgspec.field(default_factory=SandboxSection)
    mqtt: MqttSection = msgspec.field(default_factory=MqttSection)
    market: dict[str, int] = msgspec.field(default_factory=dict)
    node: dict[Name, NodeSection] = msgspec.field(default_factory=dict)

    def section(self, name: str) -> NodeSection:
        """A node's section; ``ConfigurationError`` for a name that the file lacks."""
        if name not in self.node:
            raise ConfigurationError(f"node.{name}: no such node; the file has {', '.join(self.node)}")
        return self.node[name]

    @property
    def validators(self) -> dict[Name, NodeSection]:
        """The nodes that vote from the beginning."""
        return {name: node for name, node in self.node.items() if not node.observer}

    @property
    def first_primary(self) -> int:
        """The place among ``validators`` of the one that leads first."""
        return list(self.validators).index(self.network.first_primary) if self.network.first_primary else 0

    def validate(self, source: str) -> None:
        """Rules that span several keys."""
        if not NODES_MIN <= len(self.node) <= NODES_MAX:
            _fail(source, "node", f"{len(self.node)} nodes; between {NODES_MIN} and {NODES_MAX} are needed")
        if not self.network.lab and (self.clock.start or self.clock.rate != 1.0):
            _fail(source, "clock", "only a network with network.lab = true may set the clock")
        if self.clock.rate != 1.0 and not self.clock.start:
            _fail(source, "clock.rate", "a clock that runs faster needs clock.start too")
        if self.limits.window_blocks < 2 * self.limits.checkpoint_interval_blocks:
            _fail(source, "limits.window_blocks", "must be at least twice limits.checkpoint_interval_blocks")
        least_bytes = new_view_bytes_max_of(self.limits.window_blocks)
        if self.limits.peer_queue_bytes_max < least_bytes:
            room = f"{least_bytes} bytes, the room that a NEW-VIEW about limits.window_blocks may take"
            _fail(source, "limits.peer_queue_bytes_max", f"must be at least {room}")
        if self.limits.snapshot_gap_blocks < SNAPSHOT_GAP_CHECKPOINTS_MIN * self.limits.checkpoint_interval_blocks:
            least = f"{SNAPSHOT_GAP_CHECKPOINTS_MIN} times limits.checkpoint_interval_blocks"
            _fail(source, "limits.snapshot_gap_blocks", f"must be at least {least}, or a newcomer may never catch up")
        if self.limits.rest_body_bytes_max > REQUEST_BYTES_MAX:
            _fail(source, "limits.rest_body_bytes_max", f"must not be above {REQUEST_BYTES_MAX}, a call's bound")
        if self.timers.view_change_timeout_ms_max < self.timers.view_change_timeout_ms:
            _fail(source, "timers.view_change_timeout_ms_max", "must not be below timers.view_change_timeout_ms")
        if (wrong := self.mqtt.fault()) is not None:
            _fail(source, *wrong)
        if self.network.ca_url and (why := _ca_url_fault(self.network.ca_url)):
            _fail(source, "network.ca_url", why)
        _check_start(self.clock, source)
        _check_state(self.state, self.node, source)
        _check_ports(self.node, source)
        _check_meters(self.node, source)

    def validate_beginning(self, source: str) -> None:
        """Rules for making a network, which later changes of membership need not keep."""
        count = len(self.validators)
        if count < NODES_MIN:
            _fail(source, "node", f"{count} nodes that vote; at least {NODES_MIN} are needed")
        if self.network.first_primary and self.network.first_primary not in self.validators:
            _fail(source, "network.first_primary", f"{self.network.first_primary!r} is no node that votes")


def picked(names: Iterable[str], *sources: msgspec.Struct) -> dict[str, Any]:
    """What ``sources`` have under the given names; later ones win."""
    wanted = frozenset(names)
    return {name: getattr(source, name) for source in sources for name in source.__struct_fields__ if name in wanted}


def _fail(source: str, key: str, why: str) -> None:
    raise ConfigurationError(f"{source}: {key}: {why}")


def _check_start(clock: ClockSection, source: str) -> None:
    try:
        _ = clock.start_ms
    except ValueError:
        _fail(source, "clock.start", f"{clock.start!r} is no RFC 3339 time")


def _check_state(state: StateSection, nodes: Mapping[str, NodeSection], source: str) -> None:
    """Each node needs a CouchDB if that is chosen; no password in the file, nor in the clear beyond this machine."""
    urls = {f"node.{name}.couchdb_url": node.couchdb_url for name, node in nodes.items()}
    for key, url in {"state.couchdb_url": state.couchdb_url, **urls}.items():
        if url and (why := _url_fault(url, state.plain_http)):
            _fail(source, key, why)
    if state.backend == "couchdb" and not state.couchdb_url:
        for key, url in urls.items():
            if not url:
                _fail(source, key, "state.backend is couchdb; say where this node's is, here or in state.couchdb_url")


def _url_fault(url: str, plain_http: bool) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return f"no URL: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        return "http://HOST:PORT or https://HOST:PORT is expected"
    if parts.username is not None or parts.password is not None:
        return "user and password belong into the environment, see state.user_variable and state.password_variable"
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not plain_http:
        return "beyond this machine CouchDB is reached by https, unless state.plain_http = true"
    return ""


def _ca_url_fault(url: str) -> str:
    """Enrolment goes to the CA by https, or stays on this machine."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return f"no URL: {error}"
    plain = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not (parts.scheme == "https" or plain) or not parts.hostname or parts.query or parts.fragment or "@" in url:
        return "https://HOST:PORT is expected"
    return ""


def _check_ports(nodes: Mapping[str, NodeSection], source: str) -> None:
    owners: dict[tuple[str, int], str] = {}
    for name, node in nodes.items():
        for key in PORT_KEYS:
            port = getattr(node, key)
            label = f"node.{name}.{key}"
            if port and (node.host, port) in owners:
                _fail(source, label, f"port {port} is also {owners[node.host, port]}")
            owners[node.host, port] = label


def _check_meters(nodes: Mapping[str, NodeSection], source: str) -> None:
    for name, node in nodes.items():
        for number, meter in enumerate(node.meter):
            if meter.source == "modbus" and not meter.address:
                _fail(source, f"node.{name}.meter[{number}].address", "is missing")


def _overridden(tree: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Put ``WATTQ_SECTION__KEY`` values into the parsed file; the types are checked with the rest."""
    for variable in sorted(environment):
        if not variable.startswith(ENVIRONMENT_PREFIX) or "__" not in variable:
            continue
        *sections, key = variable[len(ENVIRONMENT_PREFIX) :].lower().split("__")
        place = tree
        for section in sections:
            place = place.setdefault(section, {}) if isinstance(place, dict) else place
        if not isinstance(place, dict):
            raise ConfigurationError(f"{variable}: {'.'.join(sections)} is a value, it has no keys")
        place[key] = environment[variable]
    return tree


def parse(text: str, source: str, environment: Mapping[str, str] | None = None) -> Configuration:
    """Parse and check a configuration; ``ConfigurationError`` names ``source`` and the key that is wrong."""
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{source}: not TOML: {error}") from None
    tree = _overridden(tree, environment or {})
    try:
        configuration = msgspec.convert(tree, Configuration, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{source}: {_explained(tree, str(error))}") from None
    configuration.validate(source)
    return configuration


def _explained(tree: dict[str, Any], message: str) -> str:
    """What msgspec says, with the key first; it calls every node ``[...]``, so find out which one is meant."""
    nodes = tree.get("node")
    for name, section in nodes.items() if isinstance(nodes, dict) else ():
        try:
            msgspec.convert({name: section}, dict[Name, NodeSection], strict=False)
        except msgspec.ValidationError as error:
            return _named(str(error), f"node.{name}")
    return _named(message)


_ABOUT_A_FIELD = {"Object contains unknown field `": "unknown key", "Object missing required field `": "is missing"}


def _named(message: str, prefix: str = "") -> str:
    """msgspec says ``... - at `$.limits.pool_bytes_max```; people want the key first."""
    text, _, place = message.partition(" - at `")
    path = place.rstrip("`").removeprefix("key` in `").removeprefix("$").removeprefix("[...]").lstrip(".")
    keys = [key for key in (prefix, path) if key]
    for start, why in _ABOUT_A_FIELD.items():
        if text.startswith(start):
            return f"{'.'.join([*keys, text.removeprefix(start).rstrip('`')])}: {why}"
    return f"{'.'.join(keys)}: {text[0].lower()}{text[1:]}" if keys else text


def load(path: Path, environment: Mapping[str, str] | None = None) -> Configuration:
    """Read ``path`` with the process's environment on top; ``ConfigurationError`` for whatever is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from None
    return parse(text, str(path), os.environ if environment is None else environment)
