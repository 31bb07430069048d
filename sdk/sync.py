"""The blocking client: the asynchronous one on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ca.keys import SigningKey
from ledger.genesis import Genesis
from sdk.calling import Call, View
from sdk.client import AsyncClient, Outcome
from sdk.errors import SdkError
from sdk.many import IN_FLIGHT_MAX
from sdk.methods import Book, NodeStatus, Row, Rows
from sdk.streams import StreamEvent, Topic
from sdk.transports import connect

T = TypeVar("T")


class Client:
    """``AsyncClient`` for programs without an event loop. Use as a context manager."""

    def __init__(
        self, endpoints: Sequence[str], genesis: Genesis, key: SigningKey | None = None, channel: str = ""
    ) -> None:
        async def make() -> AsyncClient:
            return AsyncClient([connect(endpoint) for endpoint in endpoints], genesis, key, channel)

        self._begin(make())

    @classmethod
    def open(cls, file: Path, key: Path | None = None) -> Client:
        """See ``AsyncClient.open``."""

        async def make() -> AsyncClient:
            return AsyncClient.open(file, key)

        client = cls.__new__(cls)
        client._begin(make())
        return client

    def _begin(self, making: Coroutine[Any, Any, AsyncClient]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wattq-client", daemon=True)
        self._thread.start()
        try:
            self._client = self._run(making)
        except BaseException:
            self._end()
            raise

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C, perhaps, and nobody waits for it any more
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._run(self._client.close())
        self._end()

    def _end(self) -> None:
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

    def do(
        self,
        call: Call,
        *,
        co_signers: Sequence[SigningKey] = (),
        gas_limit: int | None = None,
        timeout_s: float = 60.0,
    ) -> Outcome:
        """See ``AsyncClient.do``."""
        return self._run(self._client.do(call, co_signers=co_signers, gas_limit=gas_limit, timeout_s=timeout_s))

    def do_many(
        self, calls: Iterable[Call], *, in_flight_max: int = IN_FLIGHT_MAX, timeout_s: float = 60.0
    ) -> Iterator[tuple[Call, Outcome | SdkError]]:
        """See ``AsyncClient.do_many``."""
        told = self._client.do_many(calls, in_flight_max=in_flight_max, timeout_s=timeout_s)

        async def following() -> tuple[Call, Outcome | SdkError] | None:
            return await anext(told, None)

        while (each := self._run(following())) is not None:
            yield each

    def see(self, view: View) -> Any:
        """See ``AsyncClient.see``."""
        return self._run(self._client.see(view))

    @property
    def signer(self) -> str:
        return self._client.signer

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

    def stream(self, topics: Sequence[Topic], **options: Any) -> Generator[StreamEvent]:
        """See ``AsyncClient.stream``. Closing the iterator, or leaving the loop that holds it, ends the stream."""
        events = self._client.stream(topics, **options)
        one_at_a_time = asyncio.Lock()

        async def following() -> StreamEvent | None:
            async with one_at_a_time:
                return await anext(events, None)

        async def ending() -> None:
            async with one_at_a_time:
                await events.aclose()

        try:
            while (event := self._run(following())) is not None:
                yield event
        finally:
            self._run(ending())
