"""The blocking client: the asynchronous one on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from ca.keys import SigningKey
from ledger.genesis import Genesis
from sdk.calling import Call
from sdk.client import AsyncClient, Outcome
from sdk.errors import SdkError
from sdk.many import IN_FLIGHT_MAX
from sdk.methods import SignatureText
from sdk.streams import StreamEvent, Topic
from sdk.transports import Transport, connect

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    """The same method, with the same parameters, that returns when it is done."""

    def blocking(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(method, *args, **kwargs)

    functools.update_wrapper(blocking, method)
    return blocking


class Client:
    """``AsyncClient`` for programs without an event loop: what that offers, each as documented there. Use as a context
    manager, from one thread at a time."""

    def __init__(
        self,
        endpoints: Sequence[str | Transport],
        genesis: Genesis,
        key: SigningKey | None = None,
        channel: str = "",
    ) -> None:
        async def make() -> AsyncClient:
            made = [connect(each) if isinstance(each, str) else each for each in endpoints]
            return AsyncClient(made, genesis, key, channel)

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

    def run(
        self,
        work: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Anything written for the asynchronous client, as ``client.run(sdk.enrolment.register, key, applicant)``."""
        return self._run(work(self._client, *args, **kwargs))

    @property
    def signer(self) -> str:
        return self._client.signer

    def signature(self, text: str) -> SignatureText:
        """See ``AsyncClient.signature``."""
        return self._client.signature(text)

    sign = _blocking(AsyncClient.sign)
    invoke = _blocking(AsyncClient.invoke)
    do = _blocking(AsyncClient.do)
    submit = _blocking(AsyncClient.submit)
    enrol = _blocking(AsyncClient.enrol)
    status = _blocking(AsyncClient.status)
    query = _blocking(AsyncClient.query)
    proof = _blocking(AsyncClient.proof)
    history = _blocking(AsyncClient.history)
    value_at = _blocking(AsyncClient.value_at)
    view = _blocking(AsyncClient.view)
    see = _blocking(AsyncClient.see)
    book = _blocking(AsyncClient.book)
    documents = _blocking(AsyncClient.documents)
    account = _blocking(AsyncClient.account)
    call = _blocking(AsyncClient.call)
    call_plain = _blocking(AsyncClient.call_plain)
    call_each = _blocking(AsyncClient.call_each)

    def do_many(
        self, calls: Iterable[Call], *, in_flight_max: int = IN_FLIGHT_MAX, timeout_s: float = 60.0
    ) -> Iterator[tuple[Call, Outcome | SdkError]]:
        """See ``AsyncClient.do_many``."""
        told = self._client.do_many(calls, in_flight_max=in_flight_max, timeout_s=timeout_s)

        async def following() -> tuple[Call, Outcome | SdkError] | None:
            return await anext(told, None)

        while (each := self._run(following())) is not None:
            yield each

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
