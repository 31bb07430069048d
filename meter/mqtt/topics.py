"""Topic names, and whose each one is. A serial or signer never holds a character that means something in a topic."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from meter.broker.users import Rights

SIGNALS = ("match", "deliver", "settle")


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one node or gateway."""

    prefix: str
    network: str
    node: str
    discovery_prefix: str = "homeassistant"

    @property
    def root(self) -> str:
        return f"{self.prefix}/{self.network}/{self.node}"

    @property
    def status(self) -> str:
        return f"{self.root}/status"

    @property
    def price(self) -> str:
        return f"{self.root}/market/price"

    @property
    def feeds(self) -> str:
        """The filter of all meters' samples from outside."""
        return f"{self.root}/feed/+"

    @property
    def home(self) -> str:
        """Where a home automation says that it has begun."""
        return f"{self.discovery_prefix}/status"

    def feed(self, meter: str) -> str:
        return f"{self.root}/feed/{meter}"

    def meter(self, meter: str, what: str) -> str:
        """``power``, ``energy``, ``reading`` or ``answer``."""
        return f"{self.root}/meters/{meter}/{what}"

    def party(self, signer: str, what: str) -> str:
        """``energy``, or ``signals/`` and one of ``SIGNALS``."""
        return f"{self.root}/parties/{signer}/{what}"

    def config(self, group: str, name: str) -> str:
        """A sensor's discovery message; ``group`` is a meter's, a party's, or the market's device."""
        return f"{self.discovery_prefix}/sensor/{group}/{name}/config"

    def group(self, *names: str) -> str:
        """A device's name in discovery topics, where only letters, digits, - and _ are allowed; no two share one."""
        return "_".join(slug(name) for name in (self.prefix, self.network, self.node, *names))

    def rights(self, meters: Iterable[str], parties: Iterable[str]) -> Rights:
        """Who may read and write what at the embedded broker."""
        public = [self.status, f"{self.root}/market/#"]
        home: tuple[str, ...] = ()
        if self.discovery_prefix:
            public.append(self.config(self.group("market"), "+"))
            home = (self.home,)
        meters = list(meters)
        return Rights(
            public=tuple(public),
            of_meter={m: (self.meter(m, "#"), self.config(self.group("meter", m), "+")) for m in meters},
            of_party={p: (self.party(p, "#"), self.config(self.group("party", p), "+")) for p in parties},
            feed_of={meter: self.feed(meter) for meter in meters},
            home=home,
        )


def slug(name: str) -> str:
    """Letters, digits and dashes stay; anything else becomes _ and two hexadecimal digits a byte."""
    return re.sub(r"[^A-Za-z0-9-]", lambda found: "".join(f"_{byte:02x}" for byte in found[0].encode()), name)
