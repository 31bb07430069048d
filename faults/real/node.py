"""A node of a lab: the same node, whose links do what a tester orders, and which lies if it is told to.

``python -m faults.real.node --config cluster.toml [--byzantine equivocate,mute] [--seed 1] [--order JSON]
[--doors JSON] --name node1``. Only a network with ``network.lab = true`` has such nodes. Exit codes as ``node``'s, and
75 where a lab cut the power.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

import msgspec

from ca.certificates import Role, certificate_facts
from faults.real.clock import WallClock
from faults.real.control import ControlServer, Order, Ordered, lab_socket
from faults.real.disk import LabDisk
from faults.real.exchange import LabExchange, LabPort
from faults.real.liar import Liar, Place
from faults.real.links import EVERYBODY, Links
from faults.real.watch import Watch
from ledger.genesis import Genesis
from node import Node, arguments, run
from pbft.exchange import Exchange
from sdk.clock import clock_of
from sdk.configuration import Configuration, ConfigurationError

NOTHING = Order()
NO_DOORS: Mapping[str, str] = MappingProxyType({})


class LabNode(Node):
    """``byzantine``: behaviours of its replica of the main channel, none for an honest one. ``first``: what is in force
    before anything of it runs. ``doors``: by a peer's name, where it is reached if not at its own address."""

    def __init__(
        self,
        directory: Path,
        configuration: Configuration,
        name: str,
        byzantine: Sequence[str] = (),
        seed: int = 0,
        first: Order = NOTHING,
        doors: Mapping[str, str] = NO_DOORS,
    ) -> None:
        self._doors = doors
        self._links, disk, clock = Links(self._name_of, seed), LabDisk(seed), WallClock()
        disk.install()
        clock.install()
        Ordered(self._links, disk, clock).obey(first)
        super().__init__(directory, configuration, name)
        if not self.genesis.lab:
            raise ConfigurationError(f"node.{name}: only a network with network.lab = true has lab nodes")
        self._names = names_of(self.genesis)
        ledger = self.main.unit.ledger
        watch = Watch(self.main.driver, lambda: (ledger.first_height, ledger.height))
        self._lab.watches[self.main.port.channel_id] = watch
        ordered = Ordered(self._links, disk, clock, watch)
        ordered.obey(first)
        self._control = ControlServer(ordered, frozenset({*configuration.node, EVERYBODY}) - {name})
        self._liar = self._lying(byzantine, seed) if byzantine else None

    def _exchange(self) -> Exchange:
        self._lab = LabExchange(self.transport, self._links, self._doors)
        return self._lab

    def _name_of(self, key: bytes) -> str:
        later = self.main.driver.session.epoch.validators  # nodes may be added to a network that runs
        return self._names.get(key) or next((v.name for v in later if v.public_key == key), "")

    def _lying(self, names: Sequence[str], seed: int) -> Liar:
        driver, port = self.main.driver, self.main.port
        assert isinstance(port, LabPort), "our exchange made it"
        place = Place(driver, self.site.key, clock_of(self.site.configuration.clock).now_ms)
        liar = Liar(names, driver, place, port.carry, seed)
        self._lab.liars[port.channel_id] = liar
        return liar

    async def run(self) -> None:
        await self._control.listen(lab_socket(self.home))
        if self._liar is not None:
            self._liar.begin()
        try:
            await super().run()
        finally:
            await self._control.close()
            lab_socket(self.home).unlink(missing_ok=True)


def names_of(genesis: Genesis) -> dict[bytes, str]:
    """Every node's name by its key, observers' too."""
    facts = [certificate_facts(der, genesis.roots) for der in genesis.users]
    return {each.public_key: each.name for each in facts if each.role == Role.NODE}


def main() -> int:
    """The process's entry; see the module's text."""
    parser = arguments("faults.real.node")
    parser.add_argument("--byzantine", default="", help="how it lies: names with commas between them")
    parser.add_argument("--seed", type=int, default=0, help="of what befalls its links, and of its lies")
    parser.add_argument("--order", default="{}", help="what is in force from the start, as JSON")
    parser.add_argument("--doors", default="{}", help="where peers are reached, by name, as JSON")
    options = parser.parse_args()
    try:
        first = msgspec.json.decode(options.order, type=Order)
        doors = msgspec.json.decode(options.doors, type=dict[str, str])
    except msgspec.MsgspecError as error:
        parser.error(f"--order or --doors: {error}")
    names = tuple(name for name in options.byzantine.split(",") if name)
    made = partial(LabNode, byzantine=names, seed=options.seed, first=first, doors=doors)
    return run(options.config, options.name, made)


if __name__ == "__main__":
    sys.exit(main())
