"""A lab node's exchange: what its replica sends passes a liar, if there is one, and the faults of its links; and its
peers are reached by other doors than their own, where a lab has put something on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import msgspec

from faults.real.liar import Liar
from faults.real.links import Links
from faults.real.watch import Watch
from pbft.epoch import Validator
from pbft.exchange import Admits, Exchange, Port
from pbft.transport import Transport


class LabExchange(Exchange):
    """``liars``: by channel id. ``doors``: by a peer's name, where it is reached if not at its own address."""

    def __init__(self, transport: Transport, links: Links, doors: Mapping[str, str]) -> None:
        super().__init__(transport)
        self.links, self.doors = links, doors
        self.watches: dict[bytes, Watch] = {}
        """By channel id: who sees what leaves."""
        self.liars: dict[bytes, Liar] = {}

    def port(self, channel_id: bytes, admits: Admits) -> Port:
        return LabPort(self, channel_id, admits)


class LabPort(Port):
    """One channel's share of a lab node's links."""

    def __init__(self, exchange: LabExchange, channel_id: bytes, admits: Admits) -> None:
        super().__init__(exchange, channel_id, admits)
        self._lab = exchange

    def set_validators(self, validators: Sequence[Validator]) -> None:
        doors = self._lab.doors
        super().set_validators([msgspec.structs.replace(v, address=doors.get(v.name, v.address)) for v in validators])

    def send(self, keys: Iterable[bytes], data: bytes, *, bulk: bool) -> None:
        liar = self._lab.liars.get(self.channel_id)
        if liar is None:
            self.carry(tuple(keys), data, bulk)
        else:
            liar.send(tuple(keys), data, bulk)

    def carry(self, keys: Iterable[bytes], data: bytes, bulk: bool) -> None:
        """Put a frame on the links, with what befalls it there."""
        watch = self._lab.watches.get(self.channel_id)
        for key in keys:
            if watch is None:
                self._carry_to(key, data, bulk)
            elif watch.holding:
                watch.hold(partial(self.carry, (key,), data, bulk))
            else:
                self._carry_to(key, data, bulk)
                watch.left(key, data)

    def _carry_to(self, key: bytes, data: bytes, bulk: bool) -> None:
        self._lab.links.carry(key, data, lambda frame: self._put(key, frame, bulk))

    def _put(self, key: bytes, frame: bytes, bulk: bool) -> None:
        super().send((key,), frame, bulk=bulk)

    def receive(self, sender: bytes, data: bytes) -> bool:
        liar = self._lab.liars.get(self.channel_id)
        if liar is not None and self.admits(sender) and not liar.lets_in(sender, data):
            return True
        return super().receive(sender, data)
