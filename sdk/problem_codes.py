"""Every code with which a node refuses a call, its HTTP status, and what to do about it.

The codes of transactions are beside these in ``ledger.codes`` and in the contracts (``docs/MARKET.md``): their statuses
are in ``sdk.statuses``.
"""

from __future__ import annotations

import msgspec

from ledger.codes import SENTENCES
from sdk.statuses import status_of


class CodeText(msgspec.Struct, frozen=True):
    """``sentence``: what has happened, and what to do. The one in a problem's ``detail`` may be more exact."""

    status: int
    sentence: str


ANY_CALL = (
    "REQUEST_MALFORMED", "PARAMETERS_INVALID", "SESSION_UNKNOWN", "EXPECTATION_UNKNOWN", "ANSWER_TOO_LARGE",
    "TOO_MANY_REQUESTS", "HEADERS_TOO_LARGE", "INTERNAL_ERROR", "NODE_UNREACHABLE", "TOO_BUSY", "TOO_SLOW",
    "TOO_MANY_CONNECTIONS",
)  # fmt: skip
"""What any call may meet."""
ANY_BODY = ("BODY_TOO_LARGE", "BODY_TOO_SLOW", "MEDIA_TYPE_UNKNOWN")
"""What any call with a body may meet."""
ANY_CHANNEL = ("CHANNEL_UNKNOWN", "SUSPENDED", "CERTIFICATE_REVOKED", "CERTIFICATE_EXPIRED",
               "CERTIFICATE_NOT_YET_VALID", "NOT_REGISTERED")  # fmt: skip
"""What any call in another channel than the main one may meet."""

_CALLS: dict[str, tuple[int, str]] = {
    "REQUEST_MALFORMED": (400, "What was sent is no HTTP request that the node understands. Mend the client."),
    "PARAMETERS_INVALID": (
        400,
        "A parameter or the body has the wrong shape, type or size; detail names it. See /openapi.json.",
    ),
    "SELECTOR_INVALID": (400, "The selector, sort, fields or bookmark of a query cannot be read; detail says where."),
    "REQUEST_INVALID": (400, "This is nothing that a CA could certify; detail says why. Mend the request."),
    "KEY_INVALID": (
        400,
        "This is no P-256 public key. Send the 65-byte point or a DER SubjectPublicKeyInfo, as base64.",
    ),
    "IDEMPOTENCY_KEY_INVALID": (400, "An Idempotency-Key is 1 to 128 printable ASCII characters. Send a UUID."),
    "IDENTITY_REQUIRED": (
        401,
        "This is not for strangers. Open a session with your key: POST /v1/challenges, /v1/sessions.",
    ),
    "SESSION_UNKNOWN": (401, "The bearer token is unknown or over, or the node has restarted. Open a new session."),
    "CHALLENGE_INVALID": (401, "The challenge is unknown, used or older than a minute. Ask for a new one."),
    "ADDRESS_UNKNOWN": (
        421,
        "A session's signature names an address that is not this node's. Dial the node itself, or have its operator "
        "add it to node.NAME.addresses.",
    ),
    "NOT_REGISTERED": (403, "The key is not registered on the chain. Register it with a certificate first."),
    "NOT_CO_SIGNERS": (
        403,
        "Its signers are neither keys that sign for one account nor operators. Pass it on as a file.",
    ),
    "NOT_YOURS": (403, "Only its parties, the operator and the regulator may read this."),
    "CODE_UNKNOWN": (403, "There is no such admission code. Check it, or ask an operator for one."),
    "CODE_USED": (403, "The admission code has been used. Ask an operator for another."),
    "CODE_EXPIRED": (403, "The admission code has expired. Ask an operator for another."),
    "CODE_OTHER_ROLE": (403, "The admission code is for another role. Apply for that one, or ask for another code."),
    "CODE_OTHER_ORGANISATION": (403, "The admission code is not for this organisation. Ask for one that is."),
    "CODE_OTHER_NAME": (403, "The admission code is for somebody else. Ask an operator for one of your own."),
    "ADMISSION_REFUSED": (403, "The CA admits no such role or organisation, or an operator has refused. Ask why."),
    "PROOF_INVALID": (403, "The proof does not fit the key and what is said. Sign exactly the text that is described."),
    "ROLE_NOT_FROM_AFAR": (403, "Who governs or validates is admitted where the CA's key is: wattq ca approve."),
    "PROOF_USED": (403, "This was asked before under the same signature. Sign it anew."),
    "CLOCK_OFF": (403, "Your clock is more than five minutes off the CA's. Set it, and sign again."),
    "HTTPS_REQUIRED": (
        403,
        "Beyond its own machine a node is reached by https only. Use https:// with the same host and port.",
    ),
    "ORIGIN_NOT_ALLOWED": (403, "The page is of an origin that may not read here. See rest.cors_origins."),
    "OPERATOR_REQUIRED": (403, "Only an operator of the main channel, or the user that runs the node, may do this."),
    "METRICS_ELSEWHERE": (
        403,
        "Metrics are shown to the node's own machine, and on node.NAME.metrics_port if that is set. Ask there.",
    ),
    "ROUTE_UNKNOWN": (404, "There is nothing at this path. /openapi.json lists what there is."),
    "METHOD_UNKNOWN": (404, "The node's socket has no such method. Client and node are of different versions."),
    "NOT_FOUND": (404, "There is no such thing, or it is not yours to read. Check its name, or open a session."),
    "REGISTRATION_UNKNOWN": (404, "The CA knows no such registration. Check its number, or apply again."),
    "CERTIFICATE_UNKNOWN": (404, "The CA has issued no certificate with that serial. Check it, or ask another CA."),
    "CHANNEL_UNKNOWN": (
        404,
        "There is no such channel here, or it is not yours to see. Ask a member's node, with a session opened there.",
    ),
    "VERB_NOT_ALLOWED": (405, "This path takes other verbs; the header Allow names them."),
    "BODY_TOO_SLOW": (408, "The body did not arrive in time. Send it again."),
    "ALREADY_DECIDED": (409, "The registration does not wait any more: somebody has decided. Look how it stands."),
    "NAME_TAKEN": (409, "Somebody else has this name in this organisation. Take another, or a code that names both."),
    "RENEWAL_TOO_EARLY": (409, "A certificate is renewed in the last third of its time. Ask again then."),
    "BLOCK_NOT_HELD": (410, "This node does not hold so old a block. Ask another node, or its archive."),
    "HISTORY_NOT_HELD": (
        410,
        "This node does not know the past so far back; known_from says how far it does. Ask another.",
    ),
    "CHANNEL_CLOSED": (410, "The channel is closed: it can be read, and nothing more."),
    "BODY_TOO_LARGE": (413, "The body is larger than this node takes from you. Send less at once, or with a session."),
    "MEDIA_TYPE_UNKNOWN": (
        415,
        "The body has to be JSON (application/json), or NDJSON (application/x-ndjson) for a batch.",
    ),
    "EXPECTATION_UNKNOWN": (417, "Only 100-continue can be expected. Leave the header Expect out."),
    "NOT_AN_AUTHORITY": (421, "This node issues no certificates. Ask the one that does."),
    "ANSWER_TOO_LARGE": (422, "The answer would be too large. Ask for less at once: a smaller limit."),
    "HEIGHT_TOO_FAR": (422, "The height is far ahead of this node. Check it, or ask another node."),
    "QUERY_TOO_COSTLY": (422, "The query reads too much. Narrow it by v.type, v.interval or v.status."),
    "HANDOVER_REFUSED": (
        422,
        "The order is malformed, of another epoch, or signed by too few organisations' operators.",
    ),
    "IDEMPOTENCY_KEY_REUSED": (
        422,
        "This Idempotency-Key came with another body before. Use a fresh key for each transaction.",
    ),
    "WEBSOCKET_REQUIRED": (426, "Streams are WebSockets. Open one here, or GET a topic below this path."),
    "SLOW_READER": (429, "The stream's events were not read as fast as they came. Read faster, and resume."),
    "TOO_MANY_REQUESTS": (429, "Your pace, or your address's, is used up. Wait as long as Retry-After says."),
    "HEADERS_TOO_LARGE": (431, "A line of the request's head is too long. Shorten it."),
    "INTERNAL_ERROR": (
        500,
        "The node's own fault; its log has the rest under the number that detail names. Tell its operator.",
    ),
    "NODE_DIVERGED": (503, "A certificate contradicts what this node executed. Ask another one."),
    "AUTHORITY_UNREACHABLE": (503, "The CA behind this node does not answer. Try again shortly."),
    "CHAIN_UNREACHABLE": (503, "The CA cannot ask the chain now which certificates are revoked. Try again shortly."),
    "AUTHORITY_FAULT": (503, "The CA cannot answer; its log says why. Tell its operator."),
    "TOO_MANY_WAITING": (503, "As many registrations as may wait are waiting. Try later, or ask for a code."),
    "TOO_MANY_PROPOSALS": (
        503,
        "As many proposals as may wait are waiting. Have some signed or withdrawn, or pass this one on as a file.",
    ),
    "NODE_UNREACHABLE": (503, "The node behind this endpoint does not answer. Try again shortly, or ask another one."),
    "TOO_BUSY": (503, "The node has too many calls of this kind under way. Try again shortly, or ask another one."),
    "TOO_SLOW": (503, "The node did not get to the call in time. Try again, or ask for less."),
    "TOO_MANY_CONNECTIONS": (
        503,
        "The node has no connection free, or none more for your address. Try again shortly, or use those you have.",
    ),
    "TOO_MANY_STREAMS": (503, "Too many streams are open, in all or by you. Close some, or put topics together."),
    "TOO_MANY_WAITERS": (503, "Too many wait for blocks already. Try again shortly, or without waiting."),
    "STATE_LAGGING": (503, "The state database is behind the chain. Try again shortly."),
    "STATE_UNAVAILABLE": (503, "The state database does not answer. Ask another node."),
    "NOT_CERTIFIED_YET": (503, "The block has no certificate yet. Try again shortly."),
    "NO_QUORUM_YET": (
        504,
        "The transaction is taken in and not lost, but came less far than wait within timeout_ms. Send the same"
        " bytes again.",
    ),
}  # fmt: skip

CODES: dict[str, CodeText] = {code: CodeText(*text) for code, text in _CALLS.items()}
"""The codes of calls, and of transactions that are refused at the edge or in their block by who may act and when."""
CODES |= {code.value: CodeText(status_of(code), sentence) for code, sentence in SENTENCES.items() if code not in CODES}
