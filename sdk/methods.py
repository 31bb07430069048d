"""Every call a node answers: parameters, result, and the REST route that carries it.

One table drives the node's socket, REST and both of the SDK's transports, so that no two of them can differ.
Hashes and signers are hex text, bytes are base64 in JSON, energy is Wh, money micro-currency, times UTC ms.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from ca.lifetimes import CertificateStatus
from ca.messages import (
    Application,
    Decision,
    Inquiry,
    Registration,
    Renewal,
    Renewed,
    Roots,
    WaitingList,
    WaitingRoom,
)
from sdk.diagnosis import Diagnosis
from sdk.node_address import ADDRESS_CHARS_MAX
from sdk.rounds import Rounds

Hex32 = Annotated[str, Meta(pattern="^[0-9a-f]{64}\\Z")]
Height = Annotated[int, Meta(ge=0, le=2**53)]
LIMIT_MAX = 200
Limit = Annotated[int, Meta(ge=1, le=LIMIT_MAX)]
Bookmark = Annotated[str, Meta(pattern="^([0-9]{1,9})?\\Z")]
"""A place in a list, from an answer's ``bookmark``; empty for its beginning."""
VersionBookmark = Annotated[str, Meta(pattern="^([0-9]{1,16}-[0-9]{1,9})?\\Z")]
"""The same, in a list of a key's versions."""
Key = Annotated[str, Meta(min_length=1, max_length=320, pattern="^[ -~]*\\Z")]
Label = Annotated[str, Meta(min_length=1, max_length=64)]
# Base64 has four letters for three bytes: only bounds that are multiples of three are as exact in text as in bytes.
PublicKeyBytes = Annotated[bytes, Meta(max_length=201)]
SignatureBytes = Annotated[bytes, Meta(max_length=81)]

ROWS_DEFAULT = 50
VERSION_PATH = "/v1"
WAIT_MS_MAX = 60_000


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of parameters: unknown names are refused, never ignored."""


class Nothing(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class SignatureText(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A key (65-byte point or DER SubjectPublicKeyInfo) and its ECDSA signature (r || s or DER)."""

    public_key: PublicKeyBytes
    signature: SignatureBytes


class SubmitParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A signed envelope. ``payload`` is the very text that was signed. ``wait``: until it is in the pool, executed,
    certified, or certified with the receipt in the answer."""

    payload: Annotated[str, Meta(max_length=49_152)]
    signatures: Annotated[tuple[SignatureText, ...], Meta(min_length=1, max_length=8)]
    wait: Literal["accepted", "committed", "certified", "certificate"] = "certificate"
    timeout_ms: Annotated[int, Meta(ge=1, le=WAIT_MS_MAX)] = 10_000


class ProposalParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A transaction that several sign, with the signatures that there are: one place a signer, in their order."""

    payload: Annotated[str, Meta(max_length=8_192)]
    signatures: Annotated[tuple[SignatureText | None, ...], Meta(min_length=2, max_length=8)]


class WithdrawParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    tx_id: Hex32


class TransactionParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    tx_id: Hex32


class HeadersParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Headers upwards from ``first``; 0 means the newest ``limit`` ones."""

    first: Height = 0
    limit: Limit = 20


class HeightParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    height: Height


class BlockParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A block, and at most ``limit`` of the transactions in it; ``bookmark`` continues."""

    height: Height
    limit: Limit = LIMIT_MAX
    bookmark: Bookmark = ""


class BlockHashParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``hash``: the block's header's."""

    hash: Hex32
    limit: Limit = LIMIT_MAX
    bookmark: Bookmark = ""


class BookParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    interval: Annotated[int, Meta(ge=0, le=2**40)]


class IntervalsParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``count`` intervals from ``first`` on; 0 means the one of the newest block's time."""

    first: Annotated[int, Meta(ge=0, le=2**40)] = 0
    count: Limit = ROWS_DEFAULT


class DocumentsParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Documents of one kind that the caller may read, newest key last; ``bookmark`` continues a page."""

    interval: Annotated[int, Meta(ge=0, le=2**40)] | None = None
    status: Label | None = None
    limit: Limit = ROWS_DEFAULT
    bookmark: Annotated[str, Meta(max_length=512)] = ""
    min_height: Height = 0
    prove: bool = False
    """As in ``QueryParams``."""


class QueryParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A Mango selector over the world state's documents."""

    selector: dict[str, Any]
    sort: tuple[dict[str, Literal["asc", "desc"]], ...] = ()
    fields: tuple[str, ...] = ()
    limit: Limit = ROWS_DEFAULT
    bookmark: Annotated[str, Meta(max_length=16_384)] = ""
    min_height: Height = 0
    prove: bool = False
    """Give each row its proof at a certified height at or above the answer's."""


class ViewParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    contract: Label
    function: Label
    args: dict[str, Any] = {}


class SignerParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    signer: Hex32


class ProofParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``min_height``: wait for a certificate of that block, or a later one."""

    key: Key
    min_height: Height = 0


class HistoryParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Versions of a key, newest first; ``bookmark`` continues a page."""

    key: Key
    limit: Limit = ROWS_DEFAULT
    bookmark: VersionBookmark = ""


class ValueParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a key held after the block at ``height``."""

    key: Key
    height: Height


class ChallengeParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    public_key: PublicKeyBytes


class SessionParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``node``: the HOST:PORT that was dialled, as in the signed text; ``unix`` for the node's own socket."""

    public_key: PublicKeyBytes
    challenge: Annotated[bytes, Meta(max_length=66)]
    signature: SignatureBytes
    node: Annotated[str, Meta(max_length=ADDRESS_CHARS_MAX)]


class EnrolParams(Params, Application, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A PKCS#10 request (DER), or a key with names and a proof; and the proof of an admission code, if there is one."""


class RegistrationParams(Params, Inquiry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a registration stands."""


class RenewParams(Params, Renewal, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The holder of a certificate asks for the next one."""


class WaitingParams(Params, WaitingList, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An operator asks who waits for admission."""


class DecisionParams(Params, Decision, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An operator admits or refuses somebody who waits."""


class LogLevelParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``logger``: as the log names it, with all below it, or empty for all. ``inherit`` takes its own level away."""

    logger: Annotated[str, Meta(max_length=64)] = ""
    level: Literal["debug", "info", "warning", "error", "inherit"]


class HandoverParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An encoded ``pbft.messages.Handover``, signed by enough organisations' operators."""

    message: Annotated[bytes, Meta(max_length=16_386)]


# ------------------------------------------------------------------------------------------------ results


class TransferStatus(msgspec.Struct, frozen=True):
    """A snapshot under way: chunks staged of those in all."""

    height: int
    chunks: int
    staged: int


class ValidatorRecord(msgspec.Struct, frozen=True):
    """A validator of the epoch in force; ``address`` is where its peers reach it."""

    name: str
    public_key: bytes
    address: str


class PeerStatus(msgspec.Struct, frozen=True):
    """Another validator. ``told``: it has said where it stands, since this node runs or the epoch began."""

    name: str
    connected: bool
    queued_bytes: int
    executed_height: int
    certified_height: int = 0
    view: int = 0
    told: bool = False


class StateDatabaseStatus(msgspec.Struct, frozen=True):
    """How the state database gets on. ``lag_bytes``: what waits, or is being written. ``documents_per_s``: over ten
    seconds. ``fault``: why it does not. ``left_out``: documents that it will not store; the last one's key."""

    height: int
    lag_blocks: int
    lag_bytes: int
    lag_ms: int
    documents_per_s: float
    documents: int
    resyncs: int
    fault: str
    left_out: int = 0
    left_out_last: str = ""


class NodeStatus(msgspec.Struct, frozen=True):
    """A node's own account of itself; nothing here is proven."""

    name: str
    index: int
    version: str
    chain: str
    channel: str
    view: int
    view_active: bool
    primary: str
    executed_height: int
    certified_height: int
    state_root: str
    block_time_ms: int
    state_database_height: int
    pool_transactions: int
    peers: tuple[PeerStatus, ...]
    rejects: dict[str, int]
    alarms: tuple[str, ...]
    epoch: int = 0
    boundary: int | None = None
    """The epoch's last height, once a change of membership has executed."""
    validators: tuple[ValidatorRecord, ...] = ()
    observer: bool = False
    """Not a validator of this epoch."""
    votes: bool = True
    """False for observers, and for a node that must not vote yet."""
    whole: bool = True
    """False while a snapshot has to replace an unusable ledger: nobody is served."""
    first_height: int = 1
    transfer: TransferStatus | None = None
    state_database: StateDatabaseStatus | None = None
    closed: bool = False
    """The channel is closed, and rests here: no empty blocks any more."""
    certificates: tuple[CertificateStatus, ...] = ()
    """When the node's own certificate ends, and the CA root's that ends first."""
    warnings: tuple[str, ...] = ()
    """Sentences about what wants somebody's hand before it becomes an alarm."""
    ordered_height: int = 0
    """Up to which sequence batches have committed here."""
    pool_bytes: int = 0
    quorum: int = 0
    """How many validators' equal votes decide."""
    diverged: bool = False
    """A certificate contradicts what this node executed; it withholds outcomes until it is repaired."""


class HandedOver(msgspec.Struct, frozen=True):
    """The order was lawful, and has been passed on to all validators."""

    view: int


class GenesisFile(msgspec.Struct, frozen=True):
    genesis: bytes


class Submission(msgspec.Struct, frozen=True):
    """How far a transaction came. ``code`` is set once it executed; ``receipt`` once it is certified."""

    tx_id: str
    state: Literal["accepted", "committed", "certified"]
    height: int | None = None
    index: int | None = None
    code: str | None = None
    message: str = ""
    value: Any = None
    receipt: dict[str, Any] | None = None


class TransactionRecord(msgspec.Struct, frozen=True):
    tx_id: str
    height: int
    index: int
    time_ms: int
    payload: dict[str, Any]
    code: str
    message: str
    value: Any
    gas_used: int
    events: list[Any]


class HeaderRecord(msgspec.Struct, frozen=True):
    height: int
    hash: str
    previous_hash: str
    time_ms: int
    transactions: int
    transaction_root: str
    state_root: str | None
    certified: bool
    view: int
    proposer: str


class Headers(msgspec.Struct, frozen=True):
    """``next``: the ``first`` of the page that follows; None if there is no block yet that it could have."""

    headers: tuple[HeaderRecord, ...]
    next: int | None = None


class BlockRecord(msgspec.Struct, frozen=True):
    """A header and transactions in it that the caller may read; ``hidden`` counts all in the block that it may not. An
    empty ``bookmark`` ends them."""

    header: HeaderRecord
    transactions: tuple[TransactionRecord, ...]
    hidden: int
    bookmark: str = ""


class Level(msgspec.Struct, frozen=True):
    price: int
    energy_wh: int


class OpenListing(msgspec.Struct, frozen=True):
    """``zone``: the seller's, on which the grid fee depends that the buyer pays beside ``price``."""

    listing: str
    price: int
    remaining_wh: int
    lot_wh: int
    zone: str = ""


class Book(msgspec.Struct, frozen=True):
    """One interval's market without names: price levels of both sides and open listings."""

    interval: int
    height: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    listings: tuple[OpenListing, ...]


class IntervalRecord(msgspec.Struct, frozen=True):
    """The best prices of an interval, of all zones and products; None where nothing stands."""

    interval: int
    bid: int | None
    ask: int | None
    listing: int | None


class Intervals(msgspec.Struct, frozen=True):
    intervals: tuple[IntervalRecord, ...]
    height: int


class GridFee(msgspec.Struct, frozen=True):
    """Micro-currency per kWh from one zone's meters to another's: ``before`` until ``from_ms``, then ``fee``."""

    from_zone: str
    to_zone: str
    fee: int
    from_ms: int
    before: int


class Product(msgspec.Struct, frozen=True):
    """Zones that trade with each other; ``mechanism``: continuous, auction, or a contract."""

    name: str
    zones: tuple[str, ...]
    mechanism: str
    grid_fee: int
    ties: str


class Terms(msgspec.Struct, frozen=True):
    """What decides on costs and consent, as of ``height``: parameters, grid fees, products, and of how many of which
    organisations operators sign an act of governance."""

    parameters: dict[str, int]
    grid_fees: tuple[GridFee, ...]
    products: tuple[Product, ...]
    organisations: tuple[str, ...]
    threshold: int
    height: int


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """``proof``: ``ledger.proofs.KeyProof``, if it was asked for; ``unproven``: why there is none, CHANGED_SINCE if the
    key holds something else at the newest certified height, the only one at which proofs are made."""

    key: str
    height: int
    index: int
    value: Any
    proof: dict[str, Any] | None = None
    unproven: str = ""


class Rows(msgspec.Struct, frozen=True, omit_defaults=True):
    """``height``: the block as of which the answer stands. An empty ``bookmark`` ends the listing. ``anchor``:
    ``ledger.proofs.Anchor``, under which the rows' proofs stand."""

    rows: tuple[Row, ...]
    height: int
    bookmark: str
    anchor: dict[str, Any] | None = None


class VersionRecord(msgspec.Struct, frozen=True):
    """A write of a key: by the transaction ``tx_id`` or at ``deadline``; neither for genesis, for an epoch's change,
    and where the node does not hold that block."""

    height: int
    index: int
    tx_id: str | None
    deadline: str | None
    deleted: bool
    value: Any


class History(msgspec.Struct, frozen=True):
    """Versions of ``key`` as of ``height``, newest first; what was replaced before ``known_from`` is not known here."""

    key: str
    versions: tuple[VersionRecord, ...]
    height: int
    known_from: int
    bookmark: str


class PastValue(msgspec.Struct, frozen=True):
    """The version that stood under ``key`` after the block at ``height``."""

    key: str
    height: int
    version: VersionRecord


class ViewResult(msgspec.Struct, frozen=True):
    value: Any
    height: int


class NonceState(msgspec.Struct, frozen=True):
    """``highest``: the highest nonce that this signer has used, -1 for none."""

    signer: str
    highest: int


class ProposalRecord(msgspec.Struct, frozen=True):
    """A transaction that waits for signatures at a node, since ``since_ms``; null where one is missing."""

    tx_id: str
    payload: str
    signatures: tuple[SignatureText | None, ...]
    since_ms: int


class ProposalList(msgspec.Struct, frozen=True):
    """The newest first."""

    proposals: tuple[ProposalRecord, ...]


class ProofRecord(msgspec.Struct, frozen=True):
    proof: dict[str, Any]


class Challenge(msgspec.Struct, frozen=True):
    challenge: bytes
    expires_ms: int


class Session(msgspec.Struct, frozen=True):
    token: str
    signer: str
    expires_ms: int


class LogLevels(msgspec.Struct, frozen=True):
    """The level of each logger that has one of its own; of all others under the empty name."""

    levels: dict[str, str]


P = TypeVar("P", bound=Params)
R = TypeVar("R", bound=msgspec.Struct)


class ChannelRecord(msgspec.Struct, frozen=True):
    """``genesis``: the SHA-256 (hex) of the channel's genesis file, which its members hold."""

    name: str
    genesis: str
    closed: bool


class ChannelList(msgspec.Struct, frozen=True):
    """All that anybody is told of the channels beside the main one, as of ``height``."""

    channels: tuple[ChannelRecord, ...]
    height: int


class Method(Generic[P, R]):
    """One call: ``path`` holds the parameters in braces; the others are the query string (GET) or the JSON body.

    ``channel``: the one that is asked; the main one if empty.
    """

    def __init__(
        self,
        name: str,
        params: type[P],
        result: type[R],
        verb: Literal["GET", "POST"],
        path: str,
        channel: str = "",
    ) -> None:
        self.name = name
        self.params = params
        self.result = result
        self.verb = verb
        self.path = path
        self.channel = channel

    def within(self, channel: str) -> Method[P, R]:
        """The same call in another channel; ``{channel}`` stands for any."""
        path = f"{VERSION_PATH}/channels/{channel}" + self.path.removeprefix(VERSION_PATH)
        return Method(self.name, self.params, self.result, self.verb, path, channel) if channel else self


STATUS = Method("status", Nothing, NodeStatus, "GET", "/v1/status")
GENESIS = Method("genesis", Nothing, GenesisFile, "GET", "/v1/genesis")
SUBMIT = Method("submit", SubmitParams, Submission, "POST", "/v1/transactions")
PROPOSE = Method("propose", ProposalParams, ProposalRecord, "POST", "/v1/proposals")
PROPOSALS = Method("proposals", Nothing, ProposalList, "GET", "/v1/proposals")
WITHDRAW = Method("withdraw", WithdrawParams, ProposalList, "POST", "/v1/proposals/withdrawals")
TRANSACTION = Method("transaction", TransactionParams, TransactionRecord, "GET", "/v1/transactions/{tx_id}")
RECEIPT = Method("receipt", TransactionParams, ProofRecord, "GET", "/v1/receipts/{tx_id}")
HEADERS = Method("headers", HeadersParams, Headers, "GET", "/v1/headers")
BLOCK = Method("block", BlockParams, BlockRecord, "GET", "/v1/blocks/{height}")
BLOCK_BY_HASH = Method("block_by_hash", BlockHashParams, BlockRecord, "GET", "/v1/blocks/by-hash/{hash}")
CERTIFICATE = Method("certificate", HeightParams, ProofRecord, "GET", "/v1/certificates/{height}")
BOOK = Method("book", BookParams, Book, "GET", "/v1/book/{interval}")
INTERVALS = Method("intervals", IntervalsParams, Intervals, "GET", "/v1/intervals")
TERMS = Method("terms", Nothing, Terms, "GET", "/v1/terms")
LISTINGS = Method("listings", DocumentsParams, Rows, "GET", "/v1/listings")
ORDERS = Method("orders", DocumentsParams, Rows, "GET", "/v1/orders")
TRADES = Method("trades", DocumentsParams, Rows, "GET", "/v1/trades")
ADJUSTMENTS = Method("adjustments", DocumentsParams, Rows, "GET", "/v1/adjustments")
READINGS = Method("readings", DocumentsParams, Rows, "GET", "/v1/readings")
ACCOUNT = Method("account", SignerParams, Row, "GET", "/v1/accounts/{signer}")
USER = Method("user", SignerParams, Row, "GET", "/v1/users/{signer}")
QUERY = Method("query", QueryParams, Rows, "POST", "/v1/query")
VIEW = Method("view", ViewParams, ViewResult, "POST", "/v1/views")
NONCE = Method("nonce", SignerParams, NonceState, "GET", "/v1/nonces/{signer}")
PROOF = Method("proof", ProofParams, ProofRecord, "GET", "/v1/proof")
HISTORY = Method("history", HistoryParams, History, "GET", "/v1/history/{key}")
VALUE = Method("value", ValueParams, PastValue, "GET", "/v1/values/{key}")
CHALLENGE = Method("challenge", ChallengeParams, Challenge, "POST", "/v1/challenges")
SESSION = Method("session", SessionParams, Session, "POST", "/v1/sessions")
ENROL = Method("enrol", EnrolParams, Registration, "POST", "/v1/registrations")
REGISTRATION = Method("registration", RegistrationParams, Registration, "GET", "/v1/registrations/{registration}")
RENEW = Method("renew", RenewParams, Renewed, "POST", "/v1/renewals")
WAITING = Method("waiting", WaitingParams, WaitingRoom, "POST", "/v1/registrations/waiting")
DECIDE = Method("decide", DecisionParams, Registration, "POST", "/v1/registrations/decisions")
ROOTS = Method("roots", Nothing, Roots, "GET", "/v1/roots")
CHANNELS = Method("channels", Nothing, ChannelList, "GET", "/v1/channels")
HANDOVER = Method("handover", HandoverParams, HandedOver, "POST", "/v1/handovers")
ROUNDS = Method("rounds", Nothing, Rounds, "GET", "/v1/rounds")
WHY = Method("why", Nothing, Diagnosis, "GET", "/v1/why")
LOG_LEVEL = Method("log_level", LogLevelParams, LogLevels, "POST", "/v1/log-levels")

ENROLMENT: tuple[Method[Any, Any], ...] = (ENROL, REGISTRATION, RENEW, WAITING, DECIDE, ROOTS)
"""What a CA answers, be it a node or `wattq ca serve`."""

METHODS: dict[str, Method[Any, Any]] = {
    method.name: method
    for method in (
        STATUS, GENESIS, SUBMIT, TRANSACTION, RECEIPT, HEADERS, BLOCK, BLOCK_BY_HASH, BOOK, LISTINGS, ORDERS, TRADES,
        READINGS, ACCOUNT, USER, QUERY, VIEW, NONCE, PROOF, HISTORY, VALUE, CHALLENGE, SESSION, ENROL, HANDOVER,
        CHANNELS, INTERVALS, TERMS, CERTIFICATE, ROUNDS, WHY, LOG_LEVEL, ADJUSTMENTS,
        PROPOSE, PROPOSALS, WITHDRAW,
    )
}  # fmt: skip
METHODS |= {method.name: method for method in ENROLMENT}
