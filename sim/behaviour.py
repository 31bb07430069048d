"""What a Byzantine node does: behaviours see what it sends and receives, and put other things in place.

A liar runs the honest replica; its behaviours stand between that replica and the network. They have its key, a
stream of chance of their own and the virtual clock, and share ``cabal`` with the other liars of the world.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

from ca.keys import SigningKey
from pbft.config import ReplicaConfig
from pbft.events import PoolRequest, Send
from pbft.messages import Commit, Complaint, Message, NewView, Outcome, Prepare, PrePrepare, Scope, ViewChange
from pbft.records import Record

if TYPE_CHECKING:
    from sim.node import SimNode
    from sim.world import World

Signed = TypeVar("Signed", PrePrepare, Prepare, Commit, Outcome, ViewChange, NewView, Complaint)


@dataclass(slots=True)
class Stand:
    """Where a behaviour stands: its node, its world and what it may use."""

    world: World
    node: SimNode
    chance: random.Random
    cabal: dict[str, Any]
    """Shared by all liars of the world, for collusion; empty at first."""

    @property
    def key(self) -> SigningKey:
        return self.node.key

    @property
    def config(self) -> ReplicaConfig:
        """The replica's: of the epoch that it is in now."""
        return self.node.config

    @property
    def me(self) -> int:
        return self.node.config.index

    @property
    def scope(self) -> Scope:
        return self.node.config.scope

    @property
    def others(self) -> list[int]:
        return [index for index in range(self.config.n) if index != self.me]

    @property
    def liars(self) -> list[SimNode]:
        """All Byzantine nodes, whose keys are at hand."""
        return [node for node in self.world.nodes if node.owner in self.world.plan.byzantine]

    @property
    def certified(self) -> int:
        """The highest certified block that our replica knows."""
        return self.node.replica.core.outcomes.certified

    @property
    def leads(self) -> bool:
        """Whether our replica is the primary of a view that has begun."""
        core = self.node.replica.core
        return self.node.up and core.active and core.is_primary

    def sign(self, message: Signed, key: SigningKey | None = None) -> Signed:
        """``message`` with a good signature, by our own or a colluder's key."""
        return msgspec.structs.replace(message, signature=(key or self.key).sign(message.signed(self.scope)))

    def emit(self, send: Send) -> None:
        """Put something on the network now, past all behaviours."""
        self.world.emit(self.node, send)

    def later(self, ms: int, call: Callable[[], None]) -> None:
        """Do something in so much virtual time."""
        self.world.later(ms, call)


class Behaviour:
    """Override what is to differ; each method here is honest. Behaviours of one node are chained in the plan's order.

    ``arguments`` of the plan's ``Liar`` go to the maker, which is called as ``maker(stand, **arguments)``.
    """

    def __init__(self, stand: Stand) -> None:
        self.stand = stand

    def begin(self) -> None:
        """The world starts, before any node does."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        """What leaves in place of ``send``; ``to`` None is every validator."""
        return (send,)

    def incoming(self, sender: int, message: Message) -> bool:
        """Sees what arrived, before gate and replica; False keeps it from them."""
        return True

    def admits(self, request: PoolRequest) -> bool:
        """Sees what clients and peers ask for; False keeps it from our replica's pool."""
        return True

    def persisted(self, records: Sequence[Record]) -> Sequence[Record]:
        """What really reaches the log of what the replica wants to persist (amnesia)."""
        return records

    def answered(self, tx_id: bytes, answer: bytes) -> bytes | None:
        """What a waiting client gets in place of ``answer`` (an encoded receipt or refusal); None for silence."""
        return answer

    def restarted(self) -> None:
        """Our node has started again after a crash."""


BehaviourMaker: TypeAlias = Callable[..., Behaviour]
BEHAVIOURS: dict[str, BehaviourMaker] = {}


def register_behaviour(name: str, maker: BehaviourMaker) -> None:
    """Make a behaviour known by the name that plans use."""
    assert name not in BEHAVIOURS, f"the behaviour {name} is registered twice"
    BEHAVIOURS[name] = maker
