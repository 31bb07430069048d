"""The blocking client: the asynchronous one on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from ca.keys import SigningKey
from ledger.genesis import Genesis
from sdk.client import AsyncClient, Outcome
from sdk.methods import Book, NodeStatus, Row, Rows
from sdk.transports import connect

T = TypeVar("T")


class Client:
    """``AsyncClient`` for programs without an event loop. Use as a context manager."""

    def __init__(
        self, endpoints: Sequence[str], genesis: Genesis, key: SigningKey | None = None, channel: str = ""
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wattq-client", daemon=True)
        self._thread.start()
        self._client = self._run(self._make(list(endpoints), genesis, key, channel))

    @staticmethod
    async def _make(endpoints: list[str], genesis: Genesis, key: SigningKey | None, channel: str) -> AsyncClient:
        return AsyncClient([connect(endpoint) for endpoint in endpoints], genesis, key, channel)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def invoke(
        self,
        contract: str,
        function: str,
        args: Mapping[str, Any] | None = None,
        *,
        co_signers: Sequence[SigningKey] = (),
        gas_limit: int | None = None,
        timeout_s: float = 60.0,
    ) -> Outcome:
        """See ``AsyncClient.invoke``."""
        invoked = self._client.invoke(
            contract, function, args, co_signers=co_signers, gas_limit=gas_limit, timeout_s=timeout_s
        )
        return self._run(invoked)

    def status(self) -> NodeStatus:
        return self._run(self._client.status())

    def query(self, selector: Mapping[str, Any], **options: Any) -> Rows:
        return self._run(self._client.query(selector, **options))

    def view(self, contract: str, function: str, args: Mapping[str, Any] | None = None) -> Any:
        return self._run(self._client.view(contract, function, args))

    def book(self, interval: int) -> Book:
        return self._run(self._client.book(interval))

    def account(self, signer: str | None = None) -> Row:
        return self._run(self._client.account(signer))
