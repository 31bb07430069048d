"""Outcomes and execution certificates: PBFT's checkpoint and reply in one (OSDI '99, section 4.3; DESIGN "Certify").

``certified`` is the highest height up to which every block has its certificate, in our own store's order.
"""

from __future__ import annotations

from pbft.config import ReplicaConfig
from pbft.messages import ExecutionCertificate, Outcome, Statement


class Outcomes:
    """Signed outcomes by height and sender, and the certificates they make."""

    def __init__(self, config: ReplicaConfig) -> None:
        self._config = config
        self._votes: dict[int, dict[int, Outcome]] = {}
        self._pending: dict[int, ExecutionCertificate] = {}
        self._own: dict[int, Statement] = {}
        self.newest: ExecutionCertificate | None = None
        self.certified = 0

    def recover(self, certificate: ExecutionCertificate | None) -> None:
        self.newest = certificate
        self.certified = certificate.statement.height if certificate else 0

    def add(self, outcome: Outcome) -> bool:
        """Note an outcome; False if it is useless: old, too far ahead, or its sender spoke before."""
        height = outcome.statement.height
        if not self.certified < height <= self.certified + 2 * self._config.window_blocks:
            return False
        votes = self._votes.setdefault(height, {})
        if outcome.sender in votes:
            return False
        votes[outcome.sender] = outcome
        if height not in self._pending:
            certificate = self._certificate(votes, outcome.statement)
            if certificate is not None:
                self._pending[height] = certificate
        return True

    def _certificate(self, votes: dict[int, Outcome], statement: Statement) -> ExecutionCertificate | None:
        agreeing = [sender for sender in sorted(votes) if votes[sender].statement == statement]
        if len(agreeing) < self._config.q:
            return None
        signatures = tuple((sender, votes[sender].signature) for sender in agreeing[: self._config.q])
        return ExecutionCertificate(self._config.scope.epoch, statement, signatures)

    def learn(self, certificate: ExecutionCertificate) -> None:
        """A certificate from elsewhere, its signatures verified at the edge."""
        height = certificate.statement.height
        if self.certified < height <= self.certified + 2 * self._config.window_blocks:
            self._pending.setdefault(height, certificate)

    def executed(self, statement: Statement) -> None:
        """We executed a block with this outcome."""
        self._own[statement.height] = statement

    def contradicted(self, height: int) -> bool:
        """Whether a certificate says otherwise than our own execution."""
        own, certificate = self._own.get(height), self._pending.get(height)
        return own is not None and certificate is not None and certificate.statement != own

    def advance(self) -> list[ExecutionCertificate]:
        """Certificates that are next in order, for blocks that we executed to the same outcome."""
        found = []
        while (certificate := self._pending.get(self.certified + 1)) is not None:
            if self._own.get(self.certified + 1) != certificate.statement:
                break
            self.certified += 1
            self.newest = certificate
            found.append(certificate)
            self._forget(self.certified)
        return found

    def _forget(self, height: int) -> None:
        self._votes.pop(height, None)
        self._pending.pop(height, None)
        self._own.pop(height, None)

    def own(self, height: int, sender: int) -> Outcome | None:
        return self._votes.get(height, {}).get(sender)

    def missing(self, height: int) -> list[int]:
        """Replicas whose outcome for ``height`` we lack."""
        votes = self._votes.get(height, {})
        return [sender for sender in range(self._config.n) if sender not in votes]
