"""One set of links for several channels: who gets which frames, whom a node links with, who holds back reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any, cast

import pytest

from pbft.epoch import Validator
from pbft.exchange import CHANNEL_ID_BYTES, ChannelOpen, Exchange, Port
from pbft.link import PROTOCOL_VERSION, Hello
from pbft.transport import USELESS_BYTES

ME, BOB, CAROL, DORA, EVE = (b"\x04" + name for name in (b"me", b"bob", b"carol", b"dora", b"eve"))
MAIN, FAMILY = sha256(b"main").digest(), sha256(b"family").digest()


class FakeLinks:
    """Notes what it is asked; ``linked`` with everybody."""

    def __init__(self) -> None:
        self.hello = Hello(PROTOCOL_VERSION, MAIN, "main", ME)
        self.drops: Counter[str] = Counter()
        self.wasted: Counter[bytes] = Counter()
        self.linked = [BOB, CAROL, DORA]
        self.sent: list[tuple[list[bytes], bytes, bool]] = []
        self.resumed: list[bytes] = []
        self.validators: dict[bytes, str] = {}
        self.equals: set[bytes] = set()
        self.main: set[bytes] = set()
        self.deliver: Callable[[bytes, bytes], bool] = lambda sender, data: True
        self.on_ready: Callable[[bytes], None] = lambda key: None

    def set_validators(self, validators: Sequence[Validator], equals: Iterable[bytes], main: Iterable[bytes]) -> None:
        self.main = set(main)
        self.validators = {validator.public_key: validator.address for validator in validators}
        self.equals = set(equals)

    def send(self, keys: Iterable[bytes], data: bytes, *, bulk: bool) -> None:
        self.sent.append((list(keys), data, bulk))

    def resume_reading(self, key: bytes) -> None:
        self.resumed.append(key)

    def useless(self, key: bytes, count: int) -> bool:
        self.wasted[key] += count
        return False


def nobody(key: bytes) -> bool:
    return False


def everybody(key: bytes) -> bool:
    return True


def voters(*keys: bytes, port: int = 1) -> list[Validator]:
    return [Validator(key.hex(), key, f"127.0.0.1:{port}") for key in keys]


class World:
    """Main, whose validators are all four, and a channel of which Dora is no member."""

    def __init__(self) -> None:
        self.links = FakeLinks()
        self.exchange = Exchange(cast(Any, self.links))
        self.main, self.got_main = self.port(MAIN, everybody)
        self.family, self.got_family = self.port(FAMILY, nobody)
        self.main.set_validators(voters(ME, BOB, CAROL, DORA))
        self.family.set_validators(voters(ME, BOB, CAROL))

    def port(self, chain: bytes, admits: Callable[[bytes], bool]) -> tuple[Port, list[tuple[bytes, bytes]]]:
        got: list[tuple[bytes, bytes]] = []
        port = self.exchange.open(chain, admits)

        def deliver(sender: bytes, data: bytes) -> bool:
            got.append((sender, data))
            return data != b"too much"

        port.deliver = deliver
        return port, got

    def arrives(self, sender: bytes, chain: bytes, data: bytes) -> bool:
        return self.links.deliver(sender, chain[:CHANNEL_ID_BYTES] + data)


@pytest.fixture
def world() -> World:
    return World()


def test_a_frame_reaches_its_channel_alone(world: World) -> None:
    assert world.arrives(BOB, MAIN, b"vote")
    assert world.arrives(BOB, FAMILY, b"secret")
    assert (world.got_main, world.got_family) == ([(BOB, b"vote")], [(BOB, b"secret")])


def test_who_is_no_member_is_not_heard_and_hears_nothing(world: World) -> None:
    assert world.arrives(DORA, FAMILY, b"let me in"), "reading goes on: nothing shows"
    assert world.got_family == []
    assert world.family.drops == {"not_a_member": 1}
    assert world.family.linked == [BOB, CAROL]
    world.family.send([BOB, DORA], b"status", bulk=False)
    assert world.links.sent == [([BOB], FAMILY[:CHANNEL_ID_BYTES] + b"status", False)]


def test_frames_of_channels_that_are_not_ours_are_counted(world: World) -> None:
    assert world.arrives(BOB, sha256(b"another").digest(), b"vote")
    assert world.arrives(BOB, b"", b"")
    assert world.links.drops == {"other_channel": 2}
    assert world.links.wasted == {BOB: 2}


def test_frames_of_no_use_slow_their_sender_by_number_and_by_size(world: World) -> None:
    """Else channels would be a way round the bounds on floods."""
    world.arrives(BOB, sha256(b"another").digest(), bytes(3 * USELESS_BYTES))
    world.arrives(DORA, FAMILY, bytes(USELESS_BYTES))
    world.arrives(BOB, MAIN, bytes(USELESS_BYTES))
    assert world.links.wasted == {BOB: 4, DORA: 2}


def test_observers_that_a_channel_admits_are_members(world: World) -> None:
    port, got = world.port(sha256(b"open").digest(), lambda key: key == DORA)
    assert world.arrives(DORA, sha256(b"open").digest(), b"status")
    assert not got[1:]
    assert port.linked == [DORA]


def test_only_members_links_wake_a_channel(world: World) -> None:
    woken: list[str] = []
    world.main.on_ready = lambda key: woken.append("main")
    world.family.on_ready = lambda key: woken.append("family")
    world.links.on_ready(DORA)
    assert woken == ["main"]
    world.links.on_ready(BOB)
    assert woken == ["main", "main", "family"]


def test_links_are_kept_with_the_validators_of_all_channels(world: World) -> None:
    eve = b"\x04eve"
    world.main.set_validators(voters(ME, BOB, CAROL))
    world.family.set_validators(voters(ME, BOB, CAROL, eve, port=2))
    assert world.links.validators == {
        ME: "127.0.0.1:1", BOB: "127.0.0.1:1", CAROL: "127.0.0.1:1", eve: "127.0.0.1:2",
    }  # fmt: skip
    world.family.close()
    assert eve not in world.links.validators


def test_equals_are_those_with_whom_we_vote_somewhere(world: World) -> None:
    world.main.set_validators(voters(BOB, CAROL, DORA))
    assert world.links.equals == {ME, BOB, CAROL}, "Dora takes us for an observer, so we dial her"
    world.family.close()
    assert world.links.equals == set()


def test_reading_goes_on_when_no_channels_inbox_is_full(world: World) -> None:
    assert not world.arrives(BOB, FAMILY, b"too much")
    world.main.resume_reading(BOB)
    assert world.links.resumed == []
    world.main.resume_reading(CAROL)
    assert world.links.resumed == [CAROL]
    world.family.resume_reading(BOB)
    assert world.links.resumed == [CAROL, BOB]


def test_a_channel_that_closes_holds_nobody_back(world: World) -> None:
    assert not world.arrives(BOB, FAMILY, b"too much")
    world.family.close()
    assert world.links.resumed == [BOB]
    assert world.arrives(BOB, FAMILY, b"vote")
    assert world.links.drops == {"other_channel": 1}


def test_two_channels_never_share_an_id(world: World) -> None:
    with pytest.raises(ChannelOpen, match=FAMILY[:CHANNEL_ID_BYTES].hex()):
        world.exchange.open(FAMILY[:CHANNEL_ID_BYTES] + bytes(24), everybody)


def test_validators_of_a_channel_are_no_validators_of_the_main_one(world: World) -> None:
    """Found by a tester: whoever a channel's operators voted in had no budget on the main channel, always a place, and
    was not asked whether it had been revoked."""
    world.family.set_validators(voters(ME, EVE))
    assert EVE in world.links.validators, "it is linked with"
    assert world.links.main == {ME, BOB, CAROL, DORA}
    world.main.close()
    assert world.links.main == set()


def test_honest_members_of_a_channel_that_has_ended_here_are_hardly_slowed(world: World) -> None:
    """Found by a tester: where our place in a channel had failed, its primary's batches paused that one's link, the
    main channel's too."""
    world.family.close()
    world.arrives(BOB, FAMILY, bytes(3 * USELESS_BYTES))
    world.arrives(DORA, FAMILY, bytes(3 * USELESS_BYTES))
    assert world.links.wasted == {BOB: 1, DORA: 4}
