"""What each method of ``sdk.methods`` is for, in words, and with which codes it may be refused: the OpenAPI document,
the page at ``/docs`` and ``docs/API.md`` say the same."""

from __future__ import annotations

from typing import Literal

import msgspec

Access = Literal["anyone", "more with identity", "identity", "signature"]
"""Who is answered: anyone alike; anyone, about what is public, and parties about what names them; nobody without a
session; whoever has signed what is sent."""


class MethodText(msgspec.Struct, frozen=True):
    """``codes`` are this method's own; those that any call may meet are in ``sdk.problem_codes``."""

    tag: str
    summary: str
    description: str
    access: Access = "anyone"
    codes: tuple[str, ...] = ()


ROWS = (
    "IDENTITY_REQUIRED", "NOT_REGISTERED", "SELECTOR_INVALID", "QUERY_TOO_COSTLY", "HEIGHT_TOO_FAR", "STATE_LAGGING",
    "STATE_UNAVAILABLE", "TOO_MANY_WAITERS", "NOT_CERTIFIED_YET",
)  # fmt: skip
SUBMITTED = (
    "PAYLOAD_INVALID", "SIGNERS_MISMATCH", "NO_QUORUM_YET", "POOL_FULL", "TOO_MANY_WAITERS", "IDEMPOTENCY_KEY_INVALID",
    "IDEMPOTENCY_KEY_REUSED", "NOT_REGISTERED", "CERTIFICATE_NOT_YET_VALID", "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REVOKED", "SUSPENDED", "ROLE_REQUIRED", "NOT_YOUR_CERTIFICATE", "NONCE_USED", "TOO_LARGE",
    "SIGNATURE_INVALID", "WRONG_CHAIN", "WRONG_CHANNEL", "GAS_LIMIT_TOO_HIGH", "EXPIRED", "EXPIRY_TOO_FAR",
    "NONCE_OUT_OF_WINDOW", "CONTRACT_UNKNOWN", "FUNCTION_UNKNOWN", "NOT_CALLABLE", "CERTIFICATE_INVALID",
)  # fmt: skip
PRIVATE = ("IDENTITY_REQUIRED", "NOT_REGISTERED", "NOT_YOURS")
ENROLLED = ("NOT_AN_AUTHORITY", "AUTHORITY_FAULT", "AUTHORITY_UNREACHABLE", "CHAIN_UNREACHABLE")
DECIDERS = (
    "CERTIFICATE_INVALID", "CERTIFICATE_EXPIRED", "CERTIFICATE_REVOKED", "ROLE_REQUIRED", "PROOF_INVALID", "CLOCK_OFF",
    *ENROLLED,
)  # fmt: skip
LISTING = (
    "The documents of one kind that you may read, in the order of their keys: what names you as a party, or everything "
    "for the operator and the regulator. `bookmark` continues after the last row; an empty one ends the listing. "
    "`min_height` waits up to 5 s for that block. `prove` gives each row a proof under the answer's `anchor`."
)

PROPOSED = (
    "PAYLOAD_INVALID", "SIGNERS_MISMATCH", "SIGNATURE_INVALID", "WRONG_CHAIN", "WRONG_CHANNEL", "GAS_LIMIT_TOO_HIGH",
    "TOO_LARGE", "EXPIRED", "EXPIRY_TOO_FAR", "NOT_CO_SIGNERS", "TOO_MANY_PROPOSALS",
)  # fmt: skip

TEXTS: dict[str, MethodText] = {
    "status": MethodText(
        "node",
        "How this node is",
        "The node's own account of itself: where it stands, whom it hears, what it has dropped and why. Nothing"
        " here is "
        "proven.",
    ),
    "genesis": MethodText(
        "node",
        "The genesis file",
        "The file from which the chain began; its SHA-256 is the chain's id. Trust it only if you know that id from "
        "elsewhere. It never changes.",
    ),
    "submit": MethodText(
        "transactions",
        "Submit a signed transaction",
        "Takes in a signed envelope, has it ordered, and waits as far as `wait` says. With `certificate` the answer "
        "holds the receipt, which anybody checks offline against the genesis file. The same bytes are the same "
        "transaction, however often and to whichever node they are sent. A transaction that executed with another code "
        "than `OK` is a problem document with `tx_id`, `state`, `height`, `index` and, if asked for, `receipt`; it has "
        "changed nothing but its nonce. With `Idempotency-Key` a repeated call gets the first one's answer.",
        "signature",
        SUBMITTED,
    ),
    "propose": MethodText(
        "transactions",
        "Have a transaction wait for signatures",
        "For what several sign: the keys of one account, or operators. `signatures` has one place a signer, null where "
        "one is missing; the first signer's is there. Sent again, with more signatures, these are added. It waits at "
        "this node alone and in its memory, until it has executed, expired, or waited for a day: at most 32 that one "
        "signer began. Whoever adds the last signature submits it as any other transaction.",
        "identity",
        (*PRIVATE, *PROPOSED),
    ),
    "proposals": MethodText(
        "transactions",
        "What waits for signatures",
        "The transactions that wait at this node and name you as a signer, the newest 64, while their signers are the "
        "keys of one account, or operators.",
        "identity",
        PRIVATE,
    ),
    "withdraw": MethodText(
        "transactions",
        "Have a transaction wait no longer",
        "Any of its signers may. What waits besides is answered. A signature that is known elsewhere stays good until "
        "the transaction's `expires_at_height`.",
        "identity",
        (*PRIVATE, "NOT_FOUND"),
    ),
    "transaction": MethodText(
        "transactions",
        "A transaction of your own",
        "What was asked and what came of it. A transaction that does not name you is not found, be there one or not.",
        "more with identity",
        ("NOT_FOUND", "BLOCK_NOT_HELD"),
    ),
    "receipt": MethodText(
        "transactions",
        "The proof of a transaction of your own",
        "Envelope, result, two Merkle paths, header, and the certificate that they lead to: `wattq verify "
        "receipt` checks "
        "it with nothing but the genesis file.",
        "more with identity",
        ("NOT_FOUND", "BLOCK_NOT_HELD", "NOT_CERTIFIED_YET"),
    ),
    "headers": MethodText(
        "blocks",
        "Headers of blocks",
        "Headers upwards from `first`, at most `limit`; the newest ones if `first` is 0. `next` is the `first` "
        "of the page "
        "that follows, none at the newest block.",
        codes=("BLOCK_NOT_HELD",),
    ),
    "block": MethodText(
        "blocks",
        "A block",
        "The header, the transactions that you may read, and how many are hidden from you. `bookmark` continues"
        " a block "
        "with more of them than `limit`.",
        "more with identity",
        ("NOT_FOUND", "BLOCK_NOT_HELD"),
    ),
    "block_by_hash": MethodText(
        "blocks",
        "A block by the hash of its header",
        "As by its height.",
        "more with identity",
        ("NOT_FOUND", "BLOCK_NOT_HELD"),
    ),
    "certificate": MethodText(
        "blocks",
        "What proves a block",
        "`proof` has the block's `header`, those `later` ones that lead to a certificate, the `certificate`, and the "
        "`boundaries` from genesis to its epoch: checked with the genesis file alone.",
        codes=("NOT_FOUND", "BLOCK_NOT_HELD", "NOT_CERTIFIED_YET"),
    ),
    "rounds": MethodText(
        "node",
        "The newest rounds of consensus",
        "Who sent which vote, as this node saw it. Not proven.",
    ),
    "book": MethodText(
        "market",
        "The order book of an interval",
        "Price levels of both sides and open listings, without names: the best 500 orders a side, and 500 listings.",
    ),
    "intervals": MethodText(
        "market",
        "The best prices of several intervals",
        "`count` intervals from `first` on; 0 means the one of the newest block's time.",
    ),
    "terms": MethodText(
        "market",
        "What decides on costs and consent",
        "Market parameters, grid fees, products, and how many of which organisations sign an act of governance.",
    ),
    "listings": MethodText("market", "Your listings", LISTING, "identity", ROWS),
    "orders": MethodText("market", "Your orders", LISTING, "identity", ROWS),
    "trades": MethodText("market", "Your trades", LISTING, "identity", ROWS),
    "adjustments": MethodText(
        "market",
        "Adjustments of your trades, and those that you decide",
        LISTING + " The arbiter in force is told those that are overdue: `status=overdue`.",
        "identity",
        ROWS,
    ),
    "readings": MethodText("market", "Your meters' readings", LISTING, "identity", ROWS),
    "account": MethodText(
        "market",
        "An account",
        "The balance of a signer, and what of it is held. Only its own, for whoever is neither operator nor regulator.",
        "identity",
        (*PRIVATE, "NOT_FOUND"),
    ),
    "user": MethodText(
        "market",
        "A user's registration",
        "The role, the organisation and the certificate with which a signer is registered.",
        "identity",
        (*PRIVATE, "NOT_FOUND"),
    ),
    "query": MethodText(
        "state",
        "Ask for documents by a selector",
        "A Mango selector over the world state's documents; `v.` is the value: `$and $or $nor $not $eq $ne $lt "
        "$lte $gt "
        "$gte $in $nin $exists $elemMatch`. Whoever is neither operator nor regulator finds what names them, "
        "or an account that they sign for, whatever the selector. "
        "A query is bounded in terms, rows, rows read and time.",
        "identity",
        (*ROWS, "NOT_YOURS"),
    ),
    "view": MethodText(
        "state",
        "Run a contract's view",
        "A view reads the last state and changes nothing; its value is not proven. Operator and regulator may run any, "
        "everybody those of the public market, and a party `settlement.statement` about itself.",
        "more with identity",
        PRIVATE,
    ),
    "nonce": MethodText(
        "transactions",
        "The highest nonce that a signer has used",
        "-1 for none. Sign the next transaction with a higher one, at most 1,024 away.",
    ),
    "proof": MethodText(
        "state",
        "What a key holds, proven",
        "The value under a key, or its absence, with the way to the newest certified state root: `wattq verify proof` "
        "checks it with nothing but the genesis file. `min_height` waits up to 5 s for that block's certificate.",
        "more with identity",
        (*PRIVATE, "HEIGHT_TOO_FAR", "NOT_CERTIFIED_YET", "TOO_MANY_WAITERS"),
    ),
    "history": MethodText(
        "state",
        "The versions of a key",
        "Newest first, each with height, index and what wrote it; only versions that you may read. `bookmark` "
        "continues. "
        "`known_from`: what was replaced before that height is not known here.",
        "more with identity",
        (*PRIVATE, "HISTORY_NOT_HELD", "HEIGHT_TOO_FAR"),
    ),
    "value": MethodText(
        "state",
        "What a key held after a past block",
        "The version that stood under the key once the block at `height` had executed.",
        "more with identity",
        (*PRIVATE, "NOT_FOUND", "HISTORY_NOT_HELD", "HEIGHT_TOO_FAR"),
    ),
    "challenge": MethodText(
        "identity",
        "Ask for a challenge to sign",
        'Good once and for a minute. Sign `"wattquorum/1 session\\n" + chain id (hex) + "\\n" + node + "\\n" + '
        "challenge (hex)` with the key, and open a session with that. `node` is the HOST:PORT that was dialled, in "
        "small letters, always with the port: what was signed for one node is worth nothing at another.",
        codes=("KEY_INVALID",),
    ),
    "session": MethodText(
        "identity",
        "Open a session for reading",
        "Trades a signed challenge for a bearer token, good for an hour or until the node restarts. Writing needs no "
        "session: transactions are signed.",
        codes=("KEY_INVALID", "CHALLENGE_INVALID", "SIGNATURE_INVALID", "ADDRESS_UNKNOWN"),
    ),
    "enrol": MethodText(
        "identity",
        "Ask for a certificate",
        "By a PKCS#10 `request` (DER), or by `public_key`, names and a `proof`: the signature over "
        '`"wattquorum/1 enrol\\n" + name + "\\n" + organisation + "\\n" + role + "\\n" + code_id`. With an '
        "admission code, which `code_id` and `code_proof` show without sending it (docs/ENROLMENT.md), or where the "
        "CA's policy says so, the answer holds the certificate; otherwise an operator has to decide. "
        "Repeated, it is answered as before. Private keys never leave their owner.",
        "signature",
        (
            "REQUEST_INVALID",
            "PROOF_INVALID",
            "CODE_UNKNOWN",
            "CODE_USED",
            "CODE_EXPIRED",
            "CODE_OTHER_ROLE",
            "CODE_OTHER_NAME",
            "CODE_OTHER_ORGANISATION",
            "NAME_TAKEN",
            "CERTIFICATE_REVOKED",
            "ADMISSION_REFUSED",
            "TOO_MANY_WAITING",
            *ENROLLED,
        ),
    ),
    "registration": MethodText(
        "identity",
        "How a registration stands",
        "`waiting`, `issued` with the certificate, or `refused` with the operator's reason.",
        codes=("REGISTRATION_UNKNOWN", *ENROLLED),
    ),
    "renew": MethodText(
        "identity",
        "Renew a certificate",
        "In the last third of its time. `proof` is the signature over "
        '`"wattquorum/1 renew\\n" + serial` by the certificate\'s key. Repeated, it is answered as before.',
        "signature",
        (
            "CERTIFICATE_UNKNOWN",
            "PROOF_INVALID",
            "CERTIFICATE_REVOKED",
            "CERTIFICATE_EXPIRED",
            "RENEWAL_TOO_EARLY",
            *ENROLLED,
        ),
    ),
    "waiting": MethodText(
        "identity",
        "Who waits for admission",
        'For operators: `proof` is the signature over `"wattquorum/1 waiting\\n" + ca + "\\n" + time_ms` by the key of '
        "`certificate`, where `ca` is the identifier of the CA's key (hex), and good once.",
        "signature",
        ("PROOF_USED", *DECIDERS),
    ),
    "decide": MethodText(
        "identity",
        "Admit or refuse somebody who waits",
        'For operators: `proof` is the signature over `"wattquorum/1 decide\\n" + ca + "\\n" + registration + "\\n" + '
        'verdict + "\\n" + time_ms + "\\n" + reason` by the key of `certificate`; `ca` as for the waiting list.',
        "signature",
        ("REGISTRATION_UNKNOWN", "ALREADY_DECIDED", "ROLE_NOT_FROM_AFAR", *DECIDERS),
    ),
    "roots": MethodText(
        "identity",
        "The CA roots",
        "The certificates of CAs that the chain accepts, as of this node's state.",
    ),
    "handover": MethodText(
        "node",
        "Have another validator lead",
        "An order that operators of enough organisations have signed (`wattq cluster handover`); it is passed "
        "on to all "
        "validators.",
        "signature",
        ("HANDOVER_REFUSED",),
    ),
    "channels": MethodText(
        "node",
        "The channels of this network",
        "Their names, the hashes of their genesis files, and which are closed: all that is told to those who are no "
        "members.",
    ),
    "why": MethodText(
        "node",
        "Why nothing commits",
        "What consensus waits for here: which votes are missing, from whom, since when, and what to do.",
    ),
    "log_level": MethodText(
        "node",
        "Have the node say more or less in its log",
        "Changes the level of a logger, or of all, until the node restarts. For operators.",
        "identity",
        ("IDENTITY_REQUIRED", "OPERATOR_REQUIRED", "NOT_FOUND"),
    ),
}

PARAMETERS: dict[str, str] = {
    "tx_id": "The transaction's id: the SHA-256 (hex) of its payload.",
    "hash": "The hash (hex) of a block's header.",
    "height": "A block's height.",
    "first": "Where to begin; 0: at the newest blocks, or at the interval of the newest block's time.",
    "first_index": "The place in the block from which transactions are told.",
    "limit": "How many at most.",
    "count": "How many at most.",
    "interval": "A delivery interval: its number since 1970, each of 15 minutes.",
    "status": "Only documents whose status is this.",
    "bookmark": "From the page before, to continue after it; empty for the first page.",
    "min_height": "Wait up to 5 s until the answer is as of this block, or a later one.",
    "prove": "Give each row a proof at a certified height.",
    "signer": "The SHA-256 (hex) of a P-256 key's 65-byte point.",
    "key": "A key of the world state; it may hold slashes.",
    "channel": "The name of another channel than the main one.",
    "payload": "The JSON text that was signed, as it was signed.",
    "signatures": "One for each signer, in their order.",
    "wait": "Until the transaction is in the pool, executed, certified, or certified with the receipt in the answer.",
    "timeout_ms": "How long to wait for that, in milliseconds.",
    "selector": "A Mango selector; `v.` is a document's value.",
    "sort": "Fields, each with asc or desc.",
    "fields": "Only these fields of the values.",
    "contract": "A contract's name.",
    "function": "The name of one of its functions.",
    "args": "The function's arguments by name.",
    "public_key": "A P-256 key: the 65-byte point or a DER SubjectPublicKeyInfo.",
    "challenge": "The challenge that was asked for.",
    "node": "The HOST:PORT of the node as it was dialled, as in the signed text; `unix` for its own socket.",
    "signature": "ECDSA with SHA-256: r and s of 32 bytes each, or DER.",
    "request": "A PKCS#10 request (DER).",
    "name": "The holder's name.",
    "organisation": "The holder's organisation.",
    "role": "What the holder will be: seller, buyer, prosumer, gateway, node, operator, arbiter or regulator.",
    "proof": "The signature that the description names: r and s of 32 bytes each, or DER.",
    "registration": "A registration's number.",
    "serial": "A certificate's serial number, in hex.",
    "certificate": "An operator's certificate (DER).",
    "verdict": "approve or refuse.",
    "reason": "Why; the applicant is told.",
    "time_ms": "When it was signed, in UTC ms; at most five minutes off the CA's clock.",
    "code_id": "The name of a one-time admission code: a hash of its hash, in hex.",
    "caller": "For whom a node passes this on, as it knows it; left out by everybody else.",
    "code_proof": "The code, masked for this key and these names.",
    "message": "The signed order, as `wattq cluster handover` makes it.",
    "logger": "A logger as the log names it, with all below it; empty for all.",
    "level": "How much it says; `inherit` takes its own level away.",
}
"""What a parameter is, by its name: one word means one thing everywhere."""
