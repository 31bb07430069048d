"""A lab node's exchange: what its replica sends passes a liar, if there is one, and the faults of its links."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from faults.real.liar import Liar
from faults.real.links import Links
from faults.real.watch import Watch
from pbft.exchange import Admits, Exchange, Port
from pbft.transport import Transport


class LabExchange(Exchange):
    """``liars``: by channel id."""

    def __init__(self, transport: Transport, links: Links) -> None:
        super().__init__(transport)
        self.links = links
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
