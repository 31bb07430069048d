"""Outcomes and execution certificates: PBFT's checkpoint and reply in one (OSDI '99, section 4.3; DESIGN "Certify").

A certificate of block h also settles every block below it, since each header names the one before. ``certified``
is the highest height whose certificate agrees with our own execution. The stable checkpoint is the highest multiple of
the interval up to there.
"""

from __future__ import annotations

from pbft.config import ReplicaConfig
from pbft.messages import ExecutionCertificate, Outcome, Statement


class Outcomes:
    """Signed outcomes by height and sender, and the certificates they make, above the stable checkpoint."""

    def __init__(self, config: ReplicaConfig) -> None:
        self._config = config
        self._votes: dict[int, dict[int, Outcome]] = {}
        self._certificates: dict[int, ExecutionCertificate] = {}
        self._fresh: list[int] = []
        self._own: dict[int, Statement] = {}
        self.newest: ExecutionCertificate | None = None
        """The certificate of ``certified``; None before this epoch has one."""
        self.certified = 0
        self.low = 0
        """The stable checkpoint."""

    def recover(self, certificate: ExecutionCertificate | None) -> None:
        """Begin at a certificate of our own store."""
        ours = certificate is not None and certificate.epoch == self._config.scope.epoch
        self.newest = certificate if ours else None
        self.certified = certificate.statement.height if certificate else 0
        interval = self._config.checkpoint_interval_blocks
        self.low = max(self._config.first_height - 1, self.certified // interval * interval)

    # --------------------------------------------------------------------------------------------- votes

    def in_range(self, height: int) -> bool:
        """Whether outcomes of ``height`` are of use and may be kept: of three windows at most."""
        return self.low < height <= self.certified + 2 * self._config.window_blocks

    def wants(self, statement: Statement) -> bool:
        """Whether another signature under ``statement`` is of use."""
        certificate = self._certificates.get(statement.height)
        return self.in_range(statement.height) and (certificate is None or certificate.statement != statement)

    def known(self, height: int, sender: int) -> Outcome | None:
        """What ``sender`` said of ``height``."""
        return self._votes.get(height, {}).get(sender)

    def add(self, outcome: Outcome) -> bool:
        """Note an outcome; False if it is useless. One that differs from its sender's last takes its place:
        operators may have rolled that replica back."""
        height = outcome.statement.height
        if not self.in_range(height) or height in self._certificates:
            return False
        votes = self._votes.setdefault(height, {})
        before = votes.get(outcome.sender)
        if before is not None and before.statement == outcome.statement:
            return False
        votes[outcome.sender] = outcome
        certificate = self._certificate(votes, outcome.statement)
        if certificate is not None:
            self._note(certificate)
        return True

    def _certificate(self, votes: dict[int, Outcome], statement: Statement) -> ExecutionCertificate | None:
        if len(votes) < self._config.q:
            return None
        agreeing = [sender for sender in sorted(votes) if votes[sender].statement == statement]
        if len(agreeing) < self._config.q:
            return None
        signatures = tuple((sender, votes[sender].signature) for sender in agreeing[: self._config.q])
        return ExecutionCertificate(self._config.scope.epoch, statement, signatures)

    def learn(self, certificate: ExecutionCertificate) -> None:
        """A certificate from elsewhere, its signatures verified at the edge."""
        height = certificate.statement.height
        if self.in_range(height) and height not in self._certificates:
            self._note(certificate)

    def _note(self, certificate: ExecutionCertificate) -> None:
        height = certificate.statement.height
        self._certificates[height] = certificate
        self._fresh.append(height)

    # ------------------------------------------------------------------------------------- our execution

    def executed(self, statement: Statement) -> None:
        """We executed a block with this outcome."""
        self._own[statement.height] = statement

    def contradicted(self) -> int | None:
        """The lowest height at which a certificate says otherwise than our own execution, or None."""
        wrong = [h for h in self._fresh if h in self._own and self._own[h] != self._certificates[h].statement]
        return min(wrong, default=None)

    def advance(self) -> list[ExecutionCertificate]:
        """Certificates, new since the last call, of blocks that we executed to the same outcome; ascending."""
        agreed = sorted(h for h in self._fresh if self._own.get(h) == self._certificates[h].statement)
        if not agreed:
            return []
        self._fresh = [height for height in self._fresh if height not in agreed]
        found = [self._certificates[height] for height in agreed]
        if agreed[-1] > self.certified:
            self.certified = agreed[-1]
            self.newest = self._certificates[agreed[-1]]
        return found

    def stable(self) -> int:
        """The highest multiple of the interval that is certified, by a certificate of its own or of a later block."""
        interval = self._config.checkpoint_interval_blocks
        return max(self.low, self.certified // interval * interval)

    def forget_below(self, low: int) -> None:
        """The stable checkpoint has moved to ``low``."""
        for height in range(self.low + 1, low + 1):
            for kept in (self._votes, self._certificates, self._own):
                kept.pop(height, None)
            if height in self._fresh:
                self._fresh.remove(height)
        self.low = low

    def hopeless(self, height: int) -> str | None:
        """Why no quorum can agree on ``height`` any more, whoever still speaks; None while one can."""
        if height in self._certificates:
            return None
        votes = self._votes.get(height, {})
        said: dict[Statement, list[int]] = {}
        for sender in sorted(votes):
            said.setdefault(votes[sender].statement, []).append(sender)
        silent = self._config.n - len(votes)
        if len(said) < 2 or max(map(len, said.values())) + silent >= self._config.q:
            return None
        sides = [f"{senders}: state {s.state_root.hex()[:12]}" for s, senders in said.items()]
        return f"outcomes of block {height} differ: " + "; ".join(sides)
