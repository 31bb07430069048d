"""Which number a peer has in one epoch: validators their index, everyone else one beyond the last index."""

from __future__ import annotations

from collections.abc import Sequence

from pbft.config import OBSERVER


class Numbers:
    """Keys and numbers, both ways; a number stays its key's as long as the epoch lasts.

    They are bounded by the certificates for nodes that the network's CAs have issued.
    """

    def __init__(self, validators: Sequence[bytes], own: bytes) -> None:
        self.validators = tuple(validators)
        self.own = own
        self.others = tuple(key for key in validators if key != own)
        """The validators but ourselves: who gets our votes."""
        self._numbers = {key: number for number, key in enumerate(validators)}
        self._keys = [*validators, b""]

    @property
    def index(self) -> int:
        """Our own."""
        return self._numbers[self.own] if self.own in self.validators else OBSERVER

    @property
    def operators(self) -> int:
        """Stands for the operators of this node, who are nobody's peer."""
        return len(self.validators)

    def number(self, key: bytes) -> int:
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._keys)
            self._keys.append(key)
        return number

    def key(self, number: int) -> bytes:
        """The key of a number that ``number`` gave out."""
        return self._keys[number]
