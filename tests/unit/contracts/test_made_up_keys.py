"""Found by a tester: anybody had registrations ordered, each signed with a key of its own that no CA has ever seen.

Each such key was a client of its own in the pool, with a turn and a place, and left its nonces in the state for ever.
"""

from __future__ import annotations

import base64
from collections import Counter

from governed import Network, certificate

from ca.keys import SigningKey
from ledger.authentication import NONCE_PREFIX
from ledger.codes import RefusalCode
from ledger.envelope import Envelope
from ledger.intake import NEWCOMER
from pbft.events import PoolRequest

NEWCOMERS = [SigningKey.from_seed(b"newcomer %d" % number) for number in range(3)]


def registration(network: Network, key: SigningKey, der: bytes = b"junk") -> Envelope:
    text = base64.b64encode(der).decode()
    return network.envelope([key], "registry", "register", {"certificate_der": text})


def certified(network: Network, number: int) -> Envelope:
    key = NEWCOMERS[number]
    return registration(network, key, certificate(key, f"newcomer{number}", "north", "buyer", 900 + number))


def test_no_node_takes_in_or_forwards_a_registration_without_a_certificate() -> None:
    network = Network()
    made = [registration(network, SigningKey.from_seed(b"made up %d" % number)) for number in range(20)]
    assert Counter(network.ledger.check_envelopes([item.raw for item in made])) == {RefusalCode.CERTIFICATE_INVALID: 20}
    for item in made:
        refusal = network.ledger.admit(item)
        assert refusal is not None
        assert refusal.code is RefusalCode.CERTIFICATE_INVALID


def test_a_registration_that_a_lying_primary_orders_leaves_nothing_in_the_state() -> None:
    network = Network()
    genuine = certificate(NEWCOMERS[1], "another", "north", "buyer", 901)
    ran = network.block(registration(network, NEWCOMERS[0]), registration(network, NEWCOMERS[2], genuine))
    codes = [result.code for result in ran.executed.results]
    assert codes == [RefusalCode.CERTIFICATE_INVALID, RefusalCode.NOT_YOUR_CERTIFICATE]
    assert ran.executed.admitted == ()
    assert network.ledger.reader().scan(NONCE_PREFIX, "", 10) == []


def test_all_whom_the_chain_does_not_know_are_one_client_until_it_does() -> None:
    network = Network()
    made = [certified(network, number) for number in range(3)]
    requests = network.ledger.check_envelopes([item.raw for item in made])
    assert [item.client for item in requests if isinstance(item, PoolRequest)] == [NEWCOMER] * 3
    assert [result.code for result in network.block(made[0]).executed.results] == ["OK"]
    (again,) = network.ledger.check_envelopes([registration(network, NEWCOMERS[0]).raw])
    assert isinstance(again, PoolRequest)
    assert again.client == NEWCOMERS[0].signer


def test_what_waits_is_looked_at_again_without_being_decoded() -> None:
    """Found by a tester: each block decoded the whole backlog again, 5 ms for every large request."""
    network = Network()
    made = [certified(network, number) for number in range(3)]
    requests = [item for item in network.ledger.check_envelopes([m.raw for m in made]) if isinstance(item, PoolRequest)]
    network.ledger.intake._verified.clear()
    blank = [PoolRequest(b"", r.envelope_hash, r.tx_id, r.gas_limit, r.client, r.terms) for r in requests]
    assert network.ledger.inadmissible(blank) == []
    network.block(made[1])
    assert network.ledger.inadmissible(blank) == [made[1].tx_id]
