"""A lab node's exchange: what its replica sends passes a liar, if there is one, and the faults of its links."""

from __future__ import annotations

from collections.abc import Iterable

from faults.real.liar import Liar
from faults.real.links import Links
from pbft.exchange import Admits, Exchange, Port
from pbft.transport import Transport


class LabExchange(Exchange):
    """``liars``: by channel id."""

    def __init__(self, transport: Transport, links: Links) -> None:
        super().__init__(transport)
        self.links = links
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
        for key in keys:
            self._lab.links.carry(key, data, lambda frame, to=key: self._put(to, frame, bulk))  # type: ignore[misc]

    def _put(self, key: bytes, frame: bytes, bulk: bool) -> None:
        super().send((key,), frame, bulk=bulk)

    def receive(self, sender: bytes, data: bytes) -> bool:
        liar = self._lab.liars.get(self.channel_id)
        if liar is not None and self.admits(sender) and not liar.lets_in(sender, data):
            return True
        return super().receive(sender, data)
