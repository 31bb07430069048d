"""Links between nodes over real sockets and TLS: who may link, who dials, who is slowed, who is paused."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from network import free_ports, until

from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from ca.tls import client_context, pem_of, server_context
from pbft import link, transport
from pbft.epoch import Validator
from pbft.link import PROTOCOL_VERSION, Hello, Link, frame
from pbft.transport import UNINTRODUCED_MAX, Transport, TransportLimits

CHAIN = b"c" * 32


class Party:
    """One node's transport, its address and what it received."""

    def __init__(self, world: World, name: str, role: Role, limits: TransportLimits) -> None:
        self.key = SigningKey.generate()
        home = world.directory / name
        home.mkdir()
        self.key.save(home / "node.key")
        request = create_request(self.key, name, "Test", role)
        issued = world.authority.issue(request, name, "Test", role, 1, ("127.0.0.1",))
        (home / "node.crt").write_bytes(issued.certificate_pem)
        self.serial = issued.serial
        self.roots: tuple[bytes, ...] = (world.authority.root_der,)
        self.client_tls = client_context(home / "node.crt", home / "node.key", pem_of(self.roots))
        self.transport = Transport(
            Hello(PROTOCOL_VERSION, CHAIN, "main", self.public_key),
            lambda: self.roots,
            server_context(home / "node.crt", home / "node.key", pem_of(self.roots)),
            self.client_tls,
            limits,
        )
        self.received: list[tuple[bytes, bytes]] = []
        self.full = False
        self.transport.deliver = self._deliver
        (self.port,) = free_ports(1)
        self.validator = Validator(name, self.public_key, f"127.0.0.1:{self.port}")

    @property
    def public_key(self) -> bytes:
        return self.key.public_key

    def _deliver(self, sender: bytes, data: bytes) -> bool:
        self.received.append((sender, data))
        return not self.full

    async def start(self, validators: Sequence[Party]) -> None:
        self.transport.set_validators([party.validator for party in validators])
        await self.transport.start("127.0.0.1", self.port)

    def links(self) -> list[Link]:
        """Those that stand, whichever side dialled."""
        return [peer.link for peer in self.transport._peers.values() if peer.link is not None]

    def sends(self, to: Party, data: bytes, *, bulk: bool = False) -> None:
        self.transport.send([to.public_key], data, bulk=bulk)


class World:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority.init(directory / "ca", "Test")
        self.parties: list[Party] = []
        self.writers: list[asyncio.StreamWriter] = []

    def party(self, role: Role = Role.NODE, **limits: int) -> Party:
        party = Party(self, f"p{len(self.parties)}", role, TransportLimits(**limits))
        self.parties.append(party)
        return party

    def pair(self, **limits: int) -> tuple[Party, Party]:
        """Two, the one with the smaller key first."""
        first, second = self.party(Role.NODE, **limits), self.party(Role.NODE, **limits)
        return (first, second) if first.public_key < second.public_key else (second, first)

    async def raw(self, to: Party, tls: ssl.SSLContext, data: bytes = b"") -> asyncio.StreamReader:
        """A hand-made connection that has sent ``data``."""
        reader, writer = await asyncio.open_connection("127.0.0.1", to.port, ssl=tls)
        self.writers.append(writer)
        writer.write(data)
        return reader


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    for writer in made.writers:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    await asyncio.gather(*(party.transport.stop() for party in made.parties))


async def eventually(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await until(holds, 10)


async def linked(first: Party, second: Party) -> None:
    await eventually(
        lambda: first.transport.connected(second.public_key) and second.transport.connected(first.public_key)
    )


async def test_of_two_validators_the_one_with_the_smaller_key_dials(world: World) -> None:
    smaller, larger = world.pair()
    await larger.start([smaller, larger])
    assert larger.transport.dialled == []
    await smaller.start([smaller, larger])
    await linked(smaller, larger)
    smaller.sends(larger, b"vote")
    larger.sends(smaller, b"answer")
    await eventually(lambda: bool(smaller.received and larger.received))
    assert larger.received == [(smaller.public_key, b"vote")]
    assert smaller.received == [(larger.public_key, b"answer")]


async def test_a_validator_dials_those_who_take_it_for_an_observer_whatever_the_keys(world: World) -> None:
    smaller, larger = world.pair()
    larger.transport.set_validators([smaller.validator, larger.validator], equals=[])
    await larger.transport.start("127.0.0.1", larger.port)
    assert larger.transport.dialled == [smaller.public_key]
    await smaller.start([smaller])
    await linked(larger, smaller)


async def test_an_observer_dials_validators_and_nobody_dials_it(world: World) -> None:
    smaller, larger = world.pair()
    await smaller.start([smaller])
    await larger.start([smaller])
    await linked(larger, smaller)
    assert smaller.transport.dialled == []
    assert smaller.transport.linked == [larger.public_key]


async def test_links_outlive_the_epoch_in_which_they_were_made(world: World) -> None:
    smaller, larger = world.pair()
    await smaller.start([smaller])
    await larger.start([smaller])
    await linked(larger, smaller)
    for party in (smaller, larger):
        party.transport.set_validators([smaller.validator, larger.validator])
    await asyncio.sleep(0)
    smaller.sends(larger, b"in the new epoch")
    await eventually(lambda: larger.received == [(smaller.public_key, b"in the new epoch")])
    assert larger.transport.drops["replaced"] + smaller.transport.drops["replaced"] == 0


async def test_of_two_links_dialled_at_the_same_moment_the_smaller_keys_stays(world: World) -> None:
    """Both learn of each other at once; without a rule each might close the link that the other keeps."""
    smaller, larger = world.pair()
    for party in (smaller, larger):
        await party.start([])
    smaller.transport.set_validators([larger.validator])
    larger.transport.set_validators([smaller.validator])
    drops = [smaller.transport.drops, larger.transport.drops]
    await eventually(lambda: sum(dropped["duplicate"] + dropped["replaced"] for dropped in drops) > 0)
    await linked(smaller, larger)
    smaller.sends(larger, b"one")
    larger.sends(smaller, b"two")
    await eventually(lambda: bool(smaller.received and larger.received))
    await eventually(lambda: [len(party.transport._links) for party in (smaller, larger)] == [1, 1])
    assert larger.transport.linked == [smaller.public_key]
    assert [link.dialled for link in smaller.links()] == [larger.public_key]
    assert [link.dialled for link in larger.links()] == [None]


async def test_both_sides_dialling_at_once_leaves_one_link(world: World) -> None:
    """Each holds the other for a validator and itself for none, as on both sides of a boundary."""
    smaller, larger = world.pair()
    await smaller.start([larger])
    await larger.start([smaller])
    await linked(smaller, larger)
    smaller.sends(larger, b"one")
    larger.sends(smaller, b"two")
    await eventually(lambda: bool(smaller.received and larger.received))
    await eventually(lambda: [len(party.transport._links) for party in (smaller, larger)] == [1, 1])
    assert smaller.transport.linked == [larger.public_key]
    assert larger.transport.linked == [smaller.public_key]


async def test_a_certificate_of_another_role_is_no_node(world: World) -> None:
    node, user = world.party(), world.party(Role.PROSUMER)
    await node.start([node])
    await user.start([node])
    await eventually(lambda: node.transport.drops["not_a_node"] > 0)
    assert not node.transport.connected(user.public_key)


async def test_a_crowd_with_users_certificates_takes_no_place_from_validators(world: World) -> None:
    """Found by a tester: sixty silent connections with a buyer's certificate kept peers from reconnecting."""
    node, other = world.pair()
    user = world.party(Role.BUYER)
    await node.start([node, other])
    for _ in range(UNINTRODUCED_MAX + 6):
        await world.raw(node, user.client_tls)
    await eventually(lambda: node.transport.drops["not_a_node"] == UNINTRODUCED_MAX + 6)
    assert node.transport.drops["too_many_links"] == 0
    await other.start([node, other])
    await linked(node, other)


async def test_silent_nodes_take_no_place_from_validators(world: World) -> None:
    other, node = world.pair()
    stranger = world.party()
    await node.start([node, other])
    for _ in range(UNINTRODUCED_MAX + 6):
        await world.raw(node, stranger.client_tls)
    await eventually(lambda: node.transport.drops["too_many_links"] == 6)
    await other.start([node, other])
    await linked(node, other)
    assert node.transport.drops["too_many_links"] == 6


async def test_a_hello_that_names_another_key_than_the_certificate_is_refused(world: World) -> None:
    node, other = world.pair()
    await node.start([node])
    lie = Hello(PROTOCOL_VERSION, CHAIN, "main", SigningKey.generate().public_key)
    await world.raw(node, other.client_tls, frame(msgspec.msgpack.encode(lie)))
    await eventually(lambda: node.transport.drops["other_key"] == 1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (frame(b"\xff\xff"), "bad_hello"),
        (frame(msgspec.msgpack.encode((PROTOCOL_VERSION, CHAIN, b"\xff", b"k"))), "bad_hello"),
        (frame(msgspec.msgpack.encode((PROTOCOL_VERSION + 1, CHAIN, "main", b"k"))), "other_version"),
        (frame(msgspec.msgpack.encode((PROTOCOL_VERSION, b"d" * 32, "main", b"k"))), "other_chain"),
        (frame(msgspec.msgpack.encode((PROTOCOL_VERSION, CHAIN, "other", b"k"))), "other_chain"),
        (b"\xff\xff\xff\xff", "frame_too_long"),
    ],
)
async def test_what_is_no_proper_hello_closes_the_link_with_its_reason(world: World, data: bytes, reason: str) -> None:
    node, other = world.pair()
    await node.start([node])
    reader = await world.raw(node, other.client_tls, data)
    with contextlib.suppress(OSError):
        while await reader.read(1024):
            pass
    await eventually(lambda: node.transport.drops[reason] == 1)


async def test_who_answers_at_a_peers_address_with_another_key_is_not_that_peer(world: World) -> None:
    """An address that has gone to somebody else, or is wrong in the validators' list."""
    dialler, other = world.pair()
    missing = world.party()
    await other.start([])
    wrong = Validator("missing", missing.public_key, other.validator.address)
    dialler.transport.set_validators([wrong])
    await dialler.transport.start("127.0.0.1", dialler.port)
    await eventually(lambda: dialler.transport.drops["another_peer"] > 0)
    assert dialler.transport.linked == []


async def test_a_node_whose_own_address_is_given_for_a_peers_does_not_link_with_itself(world: World) -> None:
    node, peer = world.pair()
    node.transport.set_validators([Validator("peer", peer.public_key, node.validator.address)])
    await node.transport.start("127.0.0.1", node.port)
    await eventually(lambda: node.transport.drops["ourselves"] > 0)
    assert node.transport.linked == []


async def test_observers_beyond_their_number_are_not_let_in(world: World) -> None:
    node = world.party(observers_max=2)
    await node.start([node])
    observers = [world.party() for _ in range(3)]
    for observer in observers:
        await observer.start([node])
    await eventually(lambda: node.transport.drops["too_many_observers"] > 0)
    await eventually(lambda: sum(node.transport.connected(observer.public_key) for observer in observers) == 2)


async def test_a_validator_is_let_in_however_many_observers_there_are(world: World) -> None:
    node = world.party(observers_max=0)
    other = world.party(observers_max=0)
    for party in (node, other):
        await party.start([node, other])
    await linked(node, other)


@pytest.mark.row(16)
async def test_ca_roots_change_while_links_go_on(world: World) -> None:
    """Found in review: links knew the genesis file's roots alone, whatever governance had added since."""
    old = world.party()
    second = Authority.init(world.directory / "second", "Test")
    world.authority, first = second, world.authority
    new = world.party()
    await old.start([old, new])
    await new.start([old, new])
    await eventually(lambda: old.transport.drops.total() + new.transport.drops.total() > 0)
    assert not old.transport.connected(new.public_key)
    for party in (old, new):
        party.roots = (first.root_der, second.root_der)
    await linked(old, new)
    old.roots = (first.root_der,)
    assert old.transport.connected(new.public_key), "a link that stands is left alone"
    stranger = world.party()
    stranger.roots = (first.root_der, second.root_der)
    await stranger.start([old])
    await eventually(lambda: old.transport.drops["bad_certificate"] > 0)


@pytest.mark.row(16)
async def test_a_revoked_observer_is_not_let_in(world: World) -> None:
    node, observer = world.party(), world.party()
    node.transport.is_revoked = lambda serial: serial == observer.serial
    await node.start([node])
    await observer.start([node])
    await eventually(lambda: node.transport.drops["revoked"] > 0)
    assert not node.transport.connected(observer.public_key)


async def test_an_observer_gets_no_more_than_its_budget_while_a_validator_gets_all(world: World) -> None:
    node = world.party(observer_bytes_per_s_max=100_000)
    validator, observer = world.party(), world.party()
    for party in (node, validator, observer):
        await party.start([node, validator])
    await linked(node, validator)
    await linked(node, observer)
    block = bytes(50_000)
    for _ in range(40):
        node.sends(observer, block, bulk=True)
        node.sends(validator, block, bulk=True)
    await eventually(lambda: len(validator.received) == 40)
    assert len(observer.received) < 20
    assert node.transport.queued_bytes(observer.public_key) > 20 * len(block)


@pytest.mark.row(10)
async def test_what_an_observer_sends_beyond_its_budget_waits_in_its_own_queue(world: World) -> None:
    node = world.party(observer_bytes_per_s_max=100_000)
    observer = world.party()
    for party in (node, observer):
        await party.start([node])
    await linked(node, observer)
    for _ in range(400):
        observer.sends(node, bytes(50_000))
    await eventually(lambda: node.transport.drops["observer_slowed"] > 0)
    await asyncio.sleep(0)
    assert len(node.received) < 200


async def test_many_small_messages_beyond_the_budget_hold_an_observer_up_once_each_turn(world: World) -> None:
    """They come in one read: what was read is kept, and nothing more is read until the budget is there again."""
    node = world.party(observer_bytes_per_s_max=200_000)
    observer = world.party()
    for party in (node, observer):
        await party.start([node])
    await linked(node, observer)
    texts = [b"%04d" % number + bytes(996) for number in range(250)]
    for text in texts:
        observer.sends(node, text)
    await eventually(lambda: len(node.received) == len(texts))
    assert [data for _, data in node.received] == texts
    assert node.transport.drops["observer_slowed"] > 1


async def test_an_observer_that_leaves_while_it_is_held_up_is_forgotten_and_may_come_again(world: World) -> None:
    node = world.party(observer_bytes_per_s_max=50_000)
    observer = world.party()
    for party in (node, observer):
        await party.start([node])
    await linked(node, observer)
    failures: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))
    for _ in range(20):
        node.sends(observer, bytes(30_000), bulk=True)
    await eventually(lambda: bool(observer.received))
    assert node.transport.queued_bytes(observer.public_key) > 0
    await observer.transport.stop()
    await eventually(lambda: node.transport.queued_bytes(observer.public_key) == 0)
    node.sends(observer, b"to nobody")
    await eventually(lambda: not node.transport._scheduled)
    observer.received.clear()
    await observer.start([node])
    await linked(node, observer)
    node.sends(observer, b"welcome back")
    await eventually(lambda: bool(observer.received))
    assert observer.received == [(node.public_key, b"welcome back")], "what waited for the lost link is not sent again"
    assert failures == []


async def test_votes_overtake_bulk(world: World) -> None:
    smaller, larger = world.pair()
    await larger.start([smaller, larger])
    smaller.transport.set_validators([smaller.validator, larger.validator])
    for number in range(3):
        smaller.sends(larger, b"bulk %d" % number, bulk=True)
    smaller.sends(larger, b"vote")
    await smaller.start([smaller, larger])
    await eventually(lambda: len(larger.received) == 4)
    assert larger.received[0] == (smaller.public_key, b"vote")


@pytest.mark.row(10)
async def test_a_full_queue_drops_the_oldest_bulk_and_no_vote(world: World) -> None:
    smaller, larger = world.pair(peer_queue_bytes_max=50_000)
    await larger.start([smaller, larger])
    smaller.transport.set_validators([smaller.validator, larger.validator])
    smaller.sends(larger, b"vote")
    for number in range(20):
        smaller.sends(larger, bytes([number]) * 5_000, bulk=True)
    assert smaller.transport.queued_bytes(larger.public_key) <= 50_000
    await smaller.start([smaller, larger])
    await eventually(lambda: len(larger.received) == 10)
    got = [data for _, data in larger.received]
    assert got[0] == b"vote"
    assert got[-1] == bytes([19]) * 5_000


async def test_a_peer_at_fault_too_often_is_paused_and_then_heard_again(world: World) -> None:
    smaller, larger = world.pair(faults_per_s_max=3, penalty_ms=300)
    for party in (smaller, larger):
        await party.start([smaller, larger])
    await linked(smaller, larger)
    assert [larger.transport.fault(smaller.public_key) for _ in range(5)] == [False, False, False, True, False]
    assert larger.transport.drops["penalty"] == 1
    smaller.sends(larger, b"while paused")
    await eventually(lambda: larger.received == [(smaller.public_key, b"while paused")])


async def test_a_peer_of_no_use_too_often_is_paused_for_a_moment_and_not_blamed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "USELESS_PAUSE_S", 0.3)
    smaller, larger = world.pair(useless_per_s_max=100, penalty_ms=60_000)
    for party in (smaller, larger):
        await party.start([smaller, larger])
    await linked(smaller, larger)
    until_s = asyncio.get_running_loop().time() + 0.3
    assert [larger.transport.useless(smaller.public_key, count) for count in (60, 40, 1, 500)] == [
        False,
        False,
        True,
        False,
    ]
    assert not larger.transport.fault(smaller.public_key)
    assert dict(larger.transport.drops) == {"useless_pause": 1}
    smaller.sends(larger, b"while paused")
    await eventually(lambda: larger.received == [(smaller.public_key, b"while paused")])
    assert asyncio.get_running_loop().time() >= until_s


async def test_an_observers_small_frames_use_up_its_budget_too(world: World) -> None:
    node, observer = world.pair(observer_bytes_per_s_max=10 * transport.OBSERVER_FRAME_BYTES_MIN)
    await node.start([node])
    await observer.start([node])
    await linked(node, observer)
    for number in range(20):
        observer.sends(node, bytes([number]))
    await eventually(lambda: len(node.received) == 20)
    assert node.transport.drops["observer_slowed"] >= 1


async def test_a_penalty_outlives_the_link(world: World) -> None:
    node, observer = world.pair(faults_per_s_max=1, penalty_ms=60_000)
    await node.start([node])
    await observer.start([node])
    await linked(node, observer)
    assert [node.transport.fault(observer.public_key) for _ in range(2)] == [False, True]
    await observer.transport.stop()
    await observer.transport.start("127.0.0.1", observer.port)
    await eventually(lambda: node.transport.drops["replaced"] == 1)
    await linked(node, observer)
    observer.sends(node, b"again")
    await eventually(lambda: observer.transport.queued_bytes(node.public_key) == 0)
    assert node.received == []


async def test_what_a_peer_had_sent_before_its_pause_is_dropped_and_counted(world: World) -> None:
    """The third message is found bad; the others of the same read are not even looked at."""
    smaller, larger = world.pair(faults_per_s_max=0, penalty_ms=60_000)
    for party in (smaller, larger):
        await party.start([smaller, larger])
    await linked(smaller, larger)

    def deliver(sender: bytes, data: bytes) -> bool:
        larger.received.append((sender, data))
        if len(larger.received) == 3:
            assert larger.transport.fault(sender)
        return True

    larger.transport.deliver = deliver
    for number in range(10):
        smaller.sends(larger, b"%d" % number)
    await eventually(lambda: larger.transport.drops["while_paused"] == 7)
    assert [data for _, data in larger.received] == [b"0", b"1", b"2"]


async def test_a_peer_whose_faults_are_found_after_its_link_broke_is_paused_when_it_comes_back(world: World) -> None:
    node, peer = world.pair(faults_per_s_max=0, penalty_ms=400)
    for party in (node, peer):
        await party.start([node, peer])
    await linked(node, peer)
    await peer.transport.stop()
    await eventually(lambda: not node.transport.connected(peer.public_key))
    until_s = asyncio.get_running_loop().time() + 0.4
    assert node.transport.fault(peer.public_key)
    await peer.start([node, peer])
    await linked(node, peer)
    peer.sends(node, b"again")
    await eventually(lambda: bool(node.received))
    assert asyncio.get_running_loop().time() >= until_s


async def test_a_paused_peer_whose_inbox_is_full_is_heard_only_when_both_reasons_are_gone(world: World) -> None:
    smaller, larger = world.pair(faults_per_s_max=0, penalty_ms=300)
    for party in (smaller, larger):
        await party.start([smaller, larger])
    await linked(smaller, larger)
    larger.full = True
    smaller.sends(larger, b"first")
    smaller.sends(larger, b"second")
    await eventually(lambda: len(larger.received) == 2)
    until_s = asyncio.get_running_loop().time() + 0.3
    assert larger.transport.fault(smaller.public_key)
    larger.full = False
    larger.transport.resume_reading(smaller.public_key)
    smaller.sends(larger, b"third")
    await eventually(lambda: len(larger.received) == 3)
    assert asyncio.get_running_loop().time() >= until_s


async def test_a_message_that_comes_byte_by_byte_is_one_message(world: World) -> None:
    node, other = world.pair()
    await node.start([node])
    hello = frame(msgspec.msgpack.encode(other.transport.hello))
    await world.raw(node, other.client_tls, b"")
    writer = world.writers[-1]
    for byte in hello + frame(b"a vote") + frame(b"another"):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    await eventually(lambda: len(node.received) == 2)
    assert node.received == [(other.public_key, b"a vote"), (other.public_key, b"another")]


async def test_a_full_receiver_is_read_from_again_when_it_says_so(world: World) -> None:
    smaller, larger = world.pair()
    for party in (smaller, larger):
        await party.start([smaller, larger])
    await linked(smaller, larger)
    larger.full = True
    smaller.sends(larger, b"first")
    await eventually(lambda: len(larger.received) == 1)
    smaller.sends(larger, b"second")
    await eventually(lambda: smaller.transport.queued_bytes(larger.public_key) == 0)
    assert len(larger.received) == 1
    larger.transport.resume_reading(smaller.public_key)
    await eventually(lambda: len(larger.received) == 2)


async def test_a_new_link_of_the_same_peer_takes_the_old_ones_place(world: World) -> None:
    node, observer = world.pair()
    await node.start([node])
    hello = frame(msgspec.msgpack.encode(observer.transport.hello))
    first = await world.raw(node, observer.client_tls, hello)
    await eventually(lambda: node.transport.connected(observer.public_key))
    await world.raw(node, observer.client_tls, hello)
    with contextlib.suppress(OSError):
        while await first.read(1024):
            pass
    await eventually(lambda: node.transport.drops["replaced"] == 1)
    assert node.transport.connected(observer.public_key)


async def test_a_link_on_which_nothing_comes_is_made_anew_and_one_that_is_heard_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other end may be gone without a word: whoever dials would keep a dead link for as long as TCP does."""
    monkeypatch.setattr(link, "SILENCE_LOOK_S", 0.2)
    smaller, larger = world.pair()
    silent = world.party()
    for one, other in ((smaller, larger), (larger, smaller)):
        one.transport.deliver = partial(answer, one, other)
    parties = [smaller, larger, silent]
    for party in parties:
        await party.start(parties)
    await linked(smaller, larger)
    await linked(smaller, silent)
    heard, unheard = (smaller.transport._peers[party.public_key].link for party in (larger, silent))
    smaller.sends(larger, b"ping")
    await eventually(lambda: smaller.transport.drops["silent"] + silent.transport.drops["silent"] > 0)
    # Whichever end ended it first: the other hears of that later.
    await eventually(lambda: smaller.transport._peers[silent.public_key].link is not unheard)
    await linked(smaller, silent)
    assert smaller.transport._peers[larger.public_key].link is heard


def answer(one: Party, other: Party, sender: bytes, data: bytes) -> bool:
    """Have two go on talking."""
    one.sends(other, data)
    return True


async def test_validators_of_another_channel_are_bounded_and_revoked_like_observers(world: World) -> None:
    """Found by a tester: a channel's operators could vote in whom they liked, who then cost the main channel's
    validators what they liked, and whom its revocations did not reach."""
    node, revoked = world.party(observers_max=2), world.party()
    members, observers = [world.party() for _ in range(3)], [world.party() for _ in range(2)]
    node.transport.is_revoked = lambda serial: serial == revoked.serial
    union = [party.validator for party in (node, revoked, *members)]
    node.transport.set_validators(union, [], [node.public_key])
    await node.transport.start("127.0.0.1", node.port)
    for party in (revoked, *members, *observers):
        await party.start([node])
    await eventually(lambda: all(node.transport.connected(party.public_key) for party in observers))
    await eventually(lambda: sum(node.transport.connected(party.public_key) for party in members) == 2)
    await eventually(lambda: node.transport.drops["revoked"] > 0)
    await eventually(lambda: node.transport.drops["too_many_observers"] > 0)
    assert not node.transport.connected(revoked.public_key)
    assert all(peer.receiving is not None for peer in node.transport._observers())


async def test_an_observer_that_is_revoked_while_it_is_linked_is_admitted_no_more(world: World) -> None:
    node, observer = world.party(), world.party()
    for party in (node, observer):
        await party.start([node])
    await linked(node, observer)
    assert node.transport.admits(observer.public_key)
    node.transport.is_revoked = lambda serial: serial == observer.serial
    assert not node.transport.admits(observer.public_key)
    assert node.transport.admits(node.public_key)
