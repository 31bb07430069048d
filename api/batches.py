"""Many transactions in one request: NDJSON in, one envelope a line, and NDJSON out, one answer a line, in order.

Both flow at once, and neither is held whole: so many lines are under way, and while the first of them has no answer, or
the caller does not read, nothing further is read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from aiohttp import web

from api.bodies import check_media_type, malformed, too_large
from api.callers import CALLER, Caller
from api.faults import our_fault
from api.problems import ProblemDocument, document_of, log
from sdk.errors import Problem, Refused
from sdk.methods import Submission

NDJSON = "application/x-ndjson"
LINES_MAX = 10_000
"""Transactions in one batch."""
UNDER_WAY_MAX = 32
"""Of these, how many are under way at once."""
LINE_S = 30.0
"""In which a line has to have come, however slowly."""

Submit = Callable[[web.Request, bytes], Awaitable[Submission]]
"""``submit(request, line)``: takes one envelope in; ``Refused``."""

Answers = asyncio.Queue["asyncio.Task[BatchAnswer] | None"]
"""In the order of their lines; None ends them."""


class BatchAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line: what became of the envelope in the line of the same place, counted from 0."""

    line: int
    result: Submission | None = None
    problem: ProblemDocument | None = None


class Batches:
    """``line_bytes_max(caller)``: of one envelope's."""

    def __init__(self, submit: Submit, line_bytes_max: Callable[[Caller], int]) -> None:
        self._submit = submit
        self._line_bytes_max = line_bytes_max

    async def respond(self, request: web.Request) -> web.StreamResponse:
        check_media_type(request, NDJSON)
        response = web.StreamResponse(headers={"Content-Type": NDJSON, "Cache-Control": "no-store"})
        response.force_close()  # what is left of a body that cannot be read would be taken for the next request
        await response.prepare(request)
        answers: Answers = asyncio.Queue(UNDER_WAY_MAX)
        with contextlib.suppress(ConnectionError):  # whoever has hung up is told no more
            await self._exchange(request, response, answers)
        return response

    async def _exchange(self, request: web.Request, response: web.StreamResponse, answers: Answers) -> None:
        reading = asyncio.create_task(self._read(request, answers))
        try:
            while (answer := await answers.get()) is not None:
                await response.write(msgspec.json.encode(await answer) + b"\n")
            await response.write_eof()
        finally:
            reading.cancel()
            while not answers.empty():
                if (left := answers.get_nowait()) is not None:
                    left.cancel()

    async def _read(self, request: web.Request, answers: Answers) -> None:
        """Begin with each line as it comes."""
        number = 0
        try:
            async for line in lines_of(request, self._line_bytes_max(request[CALLER])):
                if number == LINES_MAX:
                    message = f"A batch has at most {LINES_MAX} lines. Send the rest in another one."
                    raise Refused(Problem("BODY_TOO_LARGE", message, 413))
                await answers.put(asyncio.create_task(self._answer(request, number, line)))
                number += 1
        except Refused as refusal:
            await answers.put(asyncio.create_task(_refusal(number, refusal)))
        finally:
            await answers.put(None)

    async def _answer(self, request: web.Request, number: int, line: bytes) -> BatchAnswer:
        try:
            return BatchAnswer(number, await self._submit(request, line))
        except Refused as refusal:
            return BatchAnswer(number, problem=document_of(refusal.problem))
        except Exception:
            # One line must not end the others; what went wrong is ours, and goes to the log.
            return BatchAnswer(number, problem=document_of(our_fault(log, f"line {number} of a batch")))


async def _refusal(number: int, refusal: Refused) -> BatchAnswer:
    return BatchAnswer(number, problem=document_of(refusal.problem))


async def lines_of(request: web.Request, bytes_max: int) -> AsyncIterator[bytes]:
    """The lines of a body as they come, but for empty ones; ``Refused`` for one that is too long or too slow."""
    buffer = bytearray()
    while True:
        end = buffer.find(b"\n")
        if end > bytes_max or (end < 0 and len(buffer) > bytes_max):
            raise too_large(bytes_max)
        if end >= 0:
            line = bytes(buffer[:end]).strip()
            del buffer[: end + 1]
            if line:
                yield line
            continue
        chunk = await _chunk(request)
        if not chunk:
            break
        buffer += chunk
    if line := bytes(buffer).strip():
        yield line


async def _chunk(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(LINE_S):
            return await request.content.readany()
    except (web.RequestPayloadError, ConnectionResetError):
        raise malformed() from None
    except TimeoutError:
        message = f"The next line did not arrive within {LINE_S:g} s. Send the rest in another batch."
        raise Refused(Problem("BODY_TOO_SLOW", message, 408)) from None
