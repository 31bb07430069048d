"""One trade on a local network, with the SDK: two people enrol, one lists energy, the other takes a part of it.

Start a network first (`wattq cluster up`), then: python examples/one_trade.py wattquorum
Prints each step's block; the last line is the trade's receipt, which `wattq verify receipt` checks offline.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path

from ca.authority import AdmissionRefused, Authority, AuthorityError
from ca.certificates import Role, create_request
from ca.keys import InvalidKey, SigningKey
from cluster import Cluster, ClusterError
from ledger.genesis import Genesis, GenesisInvalid, load_genesis
from sdk.calls import credit, market, registry
from sdk.client import AsyncClient, Outcome
from sdk.configuration import ConfigurationError
from sdk.errors import Refused, SdkError, TransportError
from sdk.transports import connect

INTERVAL_MS = 900_000
ORGANISATION = "Wattquorum"
RECEIPT = Path("receipt.json")
UNABLE = (
    SdkError, ClusterError, ConfigurationError, GenesisInvalid, AuthorityError, AdmissionRefused, InvalidKey, OSError
)  # fmt: skip


class Setting:
    """The network's directory: its CA, its operators' keys, its nodes."""

    def __init__(self, directory: Path) -> None:
        self.cluster = Cluster(directory)
        self.genesis: Genesis = load_genesis(directory / "genesis.json")
        self.authority = Authority.open(directory / "ca")
        self.operators = [SigningKey.load(directory / "users" / f"operator{number}.key") for number in (1, 2)]
        self.gateway = SigningKey.load(directory / "users" / "gateway-node1.key").signer

    def client(self, key: SigningKey | None) -> AsyncClient:
        """A client that may use every node, so that one that fails is no obstacle."""
        urls = [self.cluster.rest_url(name) for name in self.cluster.names]
        return AsyncClient([connect(url) for url in urls], self.genesis, key)

    async def enrol(self, request: bytes, code: str) -> bytes:
        """The certificate, from whichever node issues certificates."""
        try:
            async with self.client(None) as stranger:
                return await stranger.enrol(request, code)
        except (TransportError, Refused) as error:
            if isinstance(error, Refused) and error.code != "NOT_AN_AUTHORITY":
                raise
            nodes = [name for name, node in self.cluster.configuration.node.items() if node.certificate_authority]
            raise SdkError(
                f"nobody can enrol: the node that issues certificates, {' or '.join(nodes)}, does not answer; "
                f"start it with: wattq cluster restart {nodes[0]}"
            ) from None

    async def admit(self, name: str, role: Role) -> AsyncClient:
        """Key, request, one-time code, certificate, registration; then a meter and some money."""
        key = SigningKey.generate()
        code = self.authority.new_admission_code(role, name, ORGANISATION)  # of both, so that a name may come again
        certificate = await self.enrol(create_request(key, name, ORGANISATION, role), code)
        client = self.client(key)
        show(
            f"{name} registered",
            await client.do(registry.register(certificate_der=base64.b64encode(certificate).decode())),
        )
        binding = registry.bind_meter(
            meter=f"meter-{key.signer[:8]}", owner=key.signer, zone="z", capacity_w=10_000, gateway=self.gateway
        )
        async with self.client(self.operators[0]) as operator:
            show("meter bound", await operator.do(binding))
            deposit = credit.deposit(account=key.signer, amount=10_000_000)
            show("money paid in", await operator.do(deposit, co_signers=self.operators[1:]))
        return client


def show(what: str, outcome: Outcome) -> None:
    print(f"block {outcome.height}: {what}{f', {outcome.value}' if outcome.value else ''}")


async def main(directory: Path) -> None:
    setting = Setting(directory)
    async with await setting.admit("anna", Role.SELLER) as anna, await setting.admit("dora", Role.BUYER) as dora:
        interval = (await anna.status()).block_time_ms // INTERVAL_MS + 4
        meter = f"meter-{anna.signer[:8]}"
        price = 200_000
        offer = market.post_listing(meter=meter, interval=interval, energy_wh=1_000, price=price, lot_wh=100)
        listing = await anna.do(offer)
        show("1,000 Wh listed", listing)
        meter = f"meter-{dora.signer[:8]}"
        taking = market.take_listing(listing=listing.value, meter=meter, energy_wh=300, price_max=price)
        trade = await dora.do(taking)
        show("300 Wh taken", trade)
        await asyncio.to_thread(RECEIPT.write_text, json.dumps(trade.receipt_json, indent=1))
        print(f"receipt of trade {trade.value}: {RECEIPT}")


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "wattquorum")))
    except UNABLE as error:
        sys.exit(f"one_trade: {error}")
