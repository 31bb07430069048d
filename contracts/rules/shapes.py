"""What a record is: its fields, no others, each of its type. Whoever reads the state goes by it, contracts first: one
field more, one less, or a truth where a number should be, would end their calls for good."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

import msgspec

from contracts.rules import groups
from ledger.authentication import ROOT_PREFIX, USER_PREFIX
from ledger.upgrades import CONTRACT_PREFIX, SOURCE_PREFIX, UPGRADE_PREFIX
from ledger.values import Value, ValueInvalid, canonical_value, encode_plain

Wide: TypeAlias = Any
"""An integer that may be wider than 64 bits; ``WIDE`` says where."""
Side: TypeAlias = Literal["ask", "bid"]


class Listing(TypedDict):
    type: Literal["listing"]
    id: str
    interval: int
    meter: str
    zone: str
    seller: str
    price: int
    energy_wh: int
    remaining_wh: int
    lot_wh: int
    imbalance_price: int
    status: str


class Order(TypedDict):
    """Of a book. An auction's has ``names`` where several keys sign for its owner."""

    type: Literal["order"]
    id: str
    side: Side
    interval: int
    meter: str
    zone: str
    product: str
    owner: str
    price: int
    collateral_price: int
    energy_wh: int
    remaining_wh: int
    status: str


class AuctionOrder(Order):
    names: NotRequired[list[str]]


class Offer(TypedDict):
    type: Literal["offer"]
    id: str
    side: Side
    interval: int
    meter: str
    zone: str
    owner: str
    to: str
    price: int
    collateral_price: int
    energy_wh: int
    remaining_wh: int
    answers: str
    proposed_tx: str
    accepted_tx: str
    other_meter: str
    trade: str
    status: str


class Sealed(TypedDict):
    type: Literal["sealed"]
    id: str
    owner: str
    product: str
    interval: int
    meter: str
    commitment: str
    collateral: int
    salt: str
    status: str


class Pointer(TypedDict, total=False):
    """Where an auction's clearing is on a side."""

    after: str
    left_wh: int
    level_wh: int
    matched: int
    price: int
    given_wh: int
    share_wh: int
    number: int
    again: bool
    order: str
    meter: str
    trades: int


class Run(TypedDict):
    type: Literal["auction"]
    product: str
    interval: int
    mechanism: str
    ties: str
    grid_fee: int
    order_wh_min: NotRequired[int]
    entry_ms: int
    clear_ms: int
    orders: int
    stage: str
    price: Wide
    volume_wh: int
    low: Wide
    high: Wide
    welfare: Wide
    trades: int
    rationed: str
    steps: NotRequired[int]
    side: NotRequired[str]
    after: NotRequired[str]
    bid: NotRequired[Pointer]
    ask: NotRequired[Pointer]
    seller_price: NotRequired[Wide]
    traded_wh: NotRequired[int]
    gained: NotRequired[Wide]
    level_wh: NotRequired[int]
    given_wh: NotRequired[int]
    extra_wh: NotRequired[int]
    failed: NotRequired[str]


class Standing(TypedDict):
    """With how many orders somebody stands on which side of an auction."""

    orders: int
    side: Side


class Account(TypedDict):
    type: Literal["account"]
    signer: str
    available: Wide
    held: Wide


class Total(TypedDict):
    total: Wide


class Policy(TypedDict):
    """Those from before mandates were bound to whom they found signing have no height."""

    type: Literal["policy"]
    account: str
    keys: list[str]
    threshold: int
    height: NotRequired[int]


class SigningPolicy(TypedDict):
    """Who signs a trade for an account, and who has."""

    keys: list[str]
    threshold: int
    signed: list[str]


class Trade(TypedDict):
    type: Literal["trade"]
    id: str
    interval: int
    meter: str
    buyer_meter: str
    seller: str
    buyer: str
    price: int
    grid_fee: int
    imbalance_price: int
    fee_permille: int
    energy_wh: int
    delivered_wh: int
    amount: int
    grid_amount: int
    fee: int
    penalty: int
    source: str
    status: str
    seller_policy: SigningPolicy | None
    buyer_policy: SigningPolicy | None
    seller_mandate: bool
    buyer_mandate: bool
    seller_confirmed: bool
    buyer_confirmed: bool
    seller_disputed: NotRequired[int]
    buyer_disputed: NotRequired[int]
    open_disputes: NotRequired[int]
    arbiter: NotRequired[str]
    unread: NotRequired[Literal[True]]


class Adjustment(TypedDict):
    type: Literal["adjustment"]
    id: str
    trade: str
    number: int
    interval: int
    meter: str
    seller: str
    buyer: str
    before_wh: int
    after_wh: int
    amount: int
    grid_amount: int
    fee: int
    penalty: int
    status: str
    seller_policy: SigningPolicy | None
    buyer_policy: SigningPolicy | None
    seller_confirmed: bool
    buyer_confirmed: bool
    arbiter: NotRequired[str]
    covered: NotRequired[Literal[True]]


class Votes(TypedDict):
    seller: int | None
    buyer: int | None
    arbiter: int | None


class Dispute(TypedDict):
    type: Literal["dispute"]
    id: str
    trade: str
    side: str
    seller: str
    buyer: str
    disputed: int
    paid: int
    reason: str
    arbiter: str
    votes: Votes
    status: str


class Reading(TypedDict):
    type: Literal["reading"]
    owner: str
    gateway: str
    meter: str
    interval: int
    epoch: int
    sequence: int
    import_wh: int
    export_wh: int
    quality: str
    correction: int


class Mandate(TypedDict):
    type: Literal["mandate"]
    signer: str
    height: int


class Certificate(TypedDict):
    """Of an origin. Those from before parts were counted have none."""

    type: Literal["certificate"]
    id: str
    meter: str
    interval: int
    owner: str
    energy_wh: int
    status: str
    purpose: str
    parts: NotRequired[int]


class Minted(TypedDict):
    type: Literal["minted"]
    meter: str
    interval: int
    energy_wh: int
    count: int


class User(TypedDict):
    type: Literal["user"]
    signer: str
    name: str
    organisation: str
    role: str
    serial: str
    issuer: str
    not_before_ms: int
    not_after_ms: int
    suspended: bool
    registered_height: int


class Meter(TypedDict):
    type: Literal["meter"]
    meter: str
    owner: str
    zone: str
    capacity_w: int
    gateway: str
    suspended: bool


class Admission(TypedDict):
    organisations: list[str]
    roles: list[str]
    zones: list[str]
    capacity_max_w: int


class Arbiter(TypedDict):
    signer: str


class Parameter(TypedDict):
    value: int


class GridFee(TypedDict):
    fee: int
    from_ms: int
    before: int


class Product(TypedDict):
    zones: list[str]
    mechanism: str
    grid_fee: int
    ties: str


class Zone(TypedDict):
    product: str
    mechanism: str


class Organisations(TypedDict):
    names: list[str]
    threshold: int


class Contract(TypedDict):
    source: str
    sha256: str
    version: int


class Upgrade(TypedDict):
    type: Literal["upgrade"]
    contract: str
    sha256: str
    version: int
    at_height: int


class Source(TypedDict):
    source: str


class Root(TypedDict):
    certificate: str


class Revocation(TypedDict):
    type: Literal["revocation"]
    serial: str
    reason: str
    height: int


class Report(TypedDict):
    type: Literal["report"]
    validator: str
    kind: str
    height: int


Gate: TypeAlias = Literal["open", "closed"]
Cells = list[int | str]

SHAPES: dict[str, Any] = {
    groups.AUCTION_ASKS: Cells, groups.AUCTION_BIDS: Cells, groups.AUCTIONED: AuctionOrder, groups.RUNS: Run,
    groups.SEALED: Sealed, groups.SIDES: Standing | int, groups.UNREVEALED: str,
    groups.ACCOUNTS: Account, groups.POLICIES: Policy, groups.TOTAL + "/": Total,
    CONTRACT_PREFIX: Contract, UPGRADE_PREFIX: Upgrade, ROOT_PREFIX: Root, SOURCE_PREFIX: Source,
    groups.GRID_FEES: GridFee, groups.ORGANISATIONS + "/": Organisations, groups.PARAMETERS: Parameter,
    groups.PRODUCTS: Product, groups.REPORTS: Report, groups.REVOKED: Revocation, groups.ZONES: Zone,
    groups.ASKS: str, groups.BIDS: str, groups.MARKET_GATES: Gate, groups.LISTINGS: Listing,
    groups.LISTED: Cells, groups.ORDERS: Order, groups.SOLD: int, groups.TOPS: dict[str, str],
    groups.OFFERED: int, groups.OFFERS_GATES: Gate, groups.DIRECTED: Offer, groups.OFFERS_OPEN: str,
    groups.CERTIFICATES: Certificate, groups.MINTED: Minted,
    groups.ADMISSION + "/": Admission, groups.ARBITER + "/": Arbiter, groups.METERS: Meter, USER_PREFIX: User,
    groups.ADJUSTMENTS: Adjustment, groups.COUNTS: int, groups.DISPUTES: Dispute, groups.MANDATES: Mandate,
    groups.PARTY: Literal["seller", "buyer"], groups.READINGS: Reading, groups.SEQUENCES: Cells,
    groups.SHARES: list[int | None], groups.SUPERSEDED: Reading, groups.TRADES: Trade,
}  # fmt: skip
"""By group, what its keys hold. What is not here, channels, epochs and deadlines, other rules look at whole; what a
mechanism answers with is kept as it is, whatever that may be, and an auction that cannot be filled by it ends."""
WIDE: dict[str, tuple[str, ...]] = {
    groups.RUNS: ("price", "seller_price", "low", "high", "welfare", "gained"),
    groups.ACCOUNTS: ("available", "held"), groups.TOTAL + "/": ("total",),
}  # fmt: skip

_DECODE = {group: msgspec.msgpack.Decoder(shape).decode for group, shape in SHAPES.items()}


def shaped(group: str, data: bytes) -> Value:
    """What a key of ``group`` is to hold, from bytes that somebody else made. ``ValueInvalid`` or
    ``msgspec.MsgspecError`` if it is not of the group's shape, or these are not its canonical bytes."""
    decode = _DECODE.get(group)
    if decode is None:
        return canonical_value(data)
    value = decode(data)
    if encode_plain(value) != data:
        # Another order, or a field that no such record has, which was left out.
        raise ValueInvalid("not the canonical bytes of such a record")
    wide = [name for name in WIDE.get(group, ()) if type(value.get(name, 0)) is not int]
    if wide:
        value = canonical_value(data)
        if any(type(value[name]) is not int for name in wide):
            raise ValueInvalid("no integer")
    return value
