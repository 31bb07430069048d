"""Founding and closing channels: who must sign, what a record may be, and who is admitted where members decide."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from governed import NODES, OPERATORS, Network, certificate, make_genesis

from ca.keys import SigningKey
from contracts.catalog import channel_sources
from contracts.parameters import MARKET_PARAMETERS, MEMBERS_ONLY
from contracts.validation import MarketValidator, Violation
from ledger.blocks import Result
from ledger.execution import OK, Call, CallResult
from ledger.state import TransactionView
from ledger.values import decode_value, encode_value

HASH = "ab" * 32
STRANGER = SigningKey.from_seed(b"governed stranger")
STRANGERS_CERTIFICATE = certificate(STRANGER, "stranger", "north", "buyer", 99)


@pytest.fixture
def network() -> Network:
    return Network()


def act(network: Network, contract: str, function: str, *signers: SigningKey, **args: Any) -> Result:
    ran = network.block(network.envelope(signers or OPERATORS[:2], contract, function, args))
    return ran.executed.results[-1]


def create(network: Network, name: str = "family", genesis: str = HASH) -> str:
    return act(network, "channels", "create", name=name, genesis=genesis).code


def record(network: Network, name: str = "family") -> Any:
    entry = network.ledger.reader().get(f"channels/{name}")
    return None if entry is None else decode_value(entry.value)


def test_a_channel_is_founded_and_closed_by_governance(network: Network) -> None:
    assert create(network) == OK
    assert record(network) == {"type": "channel", "genesis": HASH, "closed": False}
    assert act(network, "channels", "close", name="family").code == OK
    assert record(network) == {"type": "channel", "genesis": HASH, "closed": True}
    assert act(network, "channels", "close", name="family").code == "CLOSED"
    assert create(network) == "CHANNEL_EXISTS", "a name is never used again"


@pytest.mark.parametrize("function", ["create", "close"])
def test_one_organisation_is_not_enough(network: Network, function: str) -> None:
    assert create(network, "other") == OK
    args = {"name": "other"} | ({"genesis": HASH} if function == "create" else {})
    for signers in ((OPERATORS[0],), (OPERATORS[0], OPERATORS[3]), (OPERATORS[0], NODES[0])):
        assert act(network, "channels", function, *signers, **args).code == "CONSENT_LACKING"
    assert act(network, "channels", function, NODES[0], OPERATORS[0], **args).code == "ROLE_REQUIRED"


@pytest.mark.parametrize("name", ["", "-a", "Family", "a/b", "a.b", "..", "a b", "é", "x" * 33, "main"])
def test_a_name_is_also_a_directorys_and_a_databases(network: Network, name: str) -> None:
    assert create(network, name) == "NAME_INVALID"


@pytest.mark.parametrize("genesis", ["", HASH[:-1], HASH + "a", HASH.upper(), "g" * 64])
def test_a_genesis_file_is_named_by_its_hash(network: Network, genesis: str) -> None:
    assert create(network, genesis=genesis) == "HASH_INVALID"


def test_there_is_nothing_to_close_where_nothing_was_founded(network: Network) -> None:
    assert act(network, "channels", "close", name="family").code == "NOT_FOUND"


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"type": "channel", "genesis": "cd" * 32, "closed": False},
        {"type": "channel", "genesis": HASH, "closed": False, "members": []},
        {"type": "channel", "genesis": HASH, "closed": 7},
        "text",
    ],
)
def test_no_contract_makes_another_channel_of_one_that_is_there(network: Network, value: Any) -> None:
    assert create(network) == OK
    assert written(network, value) == Violation.CHANNELS


def test_no_contract_opens_a_closed_channel_again(network: Network) -> None:
    assert create(network) == OK
    assert written(network, {"type": "channel", "genesis": HASH, "closed": True}) is None
    assert act(network, "channels", "close", name="family").code == OK
    assert written(network, {"type": "channel", "genesis": HASH, "closed": False}) == Violation.CHANNELS


def written(network: Network, value: Any) -> str | None:
    """What the validation module says of a call of the contract that writes this."""
    view = TransactionView(network.ledger.reader())
    if value is None:
        view.delete("channels/family")
    else:
        view.put("channels/family", encode_value(value))
    signers = tuple(operator.signer for operator in OPERATORS[:2])
    args = {"name": "family", "genesis": HASH}
    function = "close" if isinstance(value, dict) and value["closed"] else "create"
    call = Call("channels", function, args, signers, "", 0, 0, network.ledger.height + 1, 0, "transaction")
    return MarketValidator().check(call, CallResult(OK, "", None, 0, ()), view)


# ------------------------------------------------------------------------------------------- members only


@pytest.fixture
def channel() -> Network:
    """A ledger as a channel's genesis makes it."""
    return Network(make_genesis(contracts=channel_sources(), parameters={**MARKET_PARAMETERS, MEMBERS_ONLY: 1}))


def der(certificate: bytes) -> dict[str, str]:
    return {"certificate_der": base64.b64encode(certificate).decode()}


def test_in_a_network_whoever_has_a_certificate_registers(network: Network) -> None:
    assert act(network, "registry", "register", STRANGER, **der(STRANGERS_CERTIFICATE)).code == OK


def test_in_a_channel_only_an_operator_admits(channel: Network) -> None:
    assert act(channel, "registry", "register", STRANGER, **der(STRANGERS_CERTIFICATE)).code == "MEMBERS_ONLY"
    assert act(channel, "registry", "admit", NODES[0], **der(STRANGERS_CERTIFICATE)).code == "ROLE_REQUIRED"
    admitted = act(channel, "registry", "admit", OPERATORS[0], **der(STRANGERS_CERTIFICATE))
    assert (admitted.code, decode_value(admitted.value)) == (OK, STRANGER.signer)
    user = channel.ledger.reader().get(f"registry/user/{STRANGER.signer}")
    assert user is not None
    assert decode_value(user.value)["role"] == "buyer"


def test_a_member_renews_its_certificate_itself(channel: Network) -> None:
    renewed = certificate(OPERATORS[1], "operator1", "south", "operator", 77)
    assert act(channel, "registry", "register", OPERATORS[1], **der(renewed)).code == OK


def test_what_a_member_is_barred_from_an_admission_does_not_lift(channel: Network) -> None:
    assert act(channel, "registry", "admit", OPERATORS[0], **der(STRANGERS_CERTIFICATE)).code == OK
    assert act(channel, "registry", "suspend", OPERATORS[0], user=STRANGER.signer, reason="x").code == OK
    assert act(channel, "registry", "admit", OPERATORS[0], **der(STRANGERS_CERTIFICATE)).code == OK
    user = channel.ledger.reader().get(f"registry/user/{STRANGER.signer}")
    assert user is not None
    assert decode_value(user.value)["suspended"] is True


def test_a_channel_founds_no_channels(channel: Network) -> None:
    assert create(channel) == "CONTRACT_UNKNOWN"
