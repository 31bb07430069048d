"""The plainest lies: two proposals for one sequence, and silence."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.envelope import envelope_from_bytes
from pbft.events import Send
from pbft.messages import Batch, Commit, Prepare, PrePrepare, Proposal, batch_digest, decode_batch, encode_batch
from sim.adversaries import weather_of
from sim.behaviour import Behaviour, register_behaviour
from sim.plan import Liar, Plan, chance_of, register_adversary


class Equivocate(Behaviour):
    """As primary, propose one batch to half of the backups and another to the rest, and vote for both."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        message = send.message
        if not isinstance(message, Proposal) or send.to is not None:
            return (send,)
        stand = self.stand
        others = stand.others
        half = len(others) // 2 or 1
        twin = _twin(message)
        twin = Proposal(stand.sign(twin.pre_prepare), twin.body)
        sends = [Send(node, message) for node in others[:half]] + [Send(node, twin) for node in others[half:]]
        for proposal in (message.pre_prepare, twin.pre_prepare):
            what = (proposal.view, proposal.sequence, proposal.digest, stand.me)
            votes = stand.sign(Prepare(*what)), stand.sign(Commit(*what))
            sends += [Send(node, vote) for vote in votes for node in others]
        return sends


def _twin(message: Proposal) -> Proposal:
    """The same requests at another time: a different batch for the same sequence."""
    batch = decode_batch(message.body)
    time_ms = batch.proposed_time_ms + 1
    body = encode_batch(Batch(batch.channel, time_ms, batch.envelopes))
    hashes = b"".join(envelope_from_bytes(raw).hash for raw in batch.envelopes)
    digest = batch_digest(batch.channel, time_ms, hashes)
    old = message.pre_prepare
    return Proposal(PrePrepare(old.view, old.sequence, digest, old.sender), body)


class Silent(Behaviour):
    """Sends nothing at all."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        return ()


register_behaviour("equivocate", Equivocate)
register_behaviour("silent", Silent)


def equivocate(seed: int, nodes: int) -> Plan:
    """The first primary equivocates."""
    chance = chance_of(seed, "equivocate")
    return Plan(seed, "equivocate", nodes, liars=(Liar(0, "equivocate"),), weather=weather_of(chance))


register_adversary("equivocate", equivocate)
