"""Frames of Modbus TCP, as ``pymodbus`` reads them, whatever a peer sends.

The library raises what it cannot decode in the event loop's callback, where nobody can catch it: it stands in the log
as a stack trace of asyncio's, and the connection is lost without a reason. Here the request that waits fails instead.
"""

from __future__ import annotations

from collections.abc import Callable

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU


class Undecodable(ModbusException):
    """What came is a frame, and no Modbus answer is in it."""

    def __init__(self) -> None:
        super().__init__("bytes that are no Modbus answer")


class TolerantFramer(FramerSocket):
    """``fail`` is told of what cannot be decoded, which is passed over with all that came along."""

    def __init__(self, decoder: DecodePDU, fail: Callable[[], None]) -> None:
        super().__init__(decoder)
        self._fail = fail

    def handleFrame(self, data: bytes, exp_devid: int, exp_tid: int) -> tuple[int, ModbusPDU | None]:  # noqa: N802
        try:
            return super().handleFrame(data, exp_devid, exp_tid)
        except ModbusException:
            self._fail()
            return len(data), None


def tolerate(client: AsyncModbusTcpClient, fault: Callable[[], None]) -> None:
    """Have a client's request fail with ``Undecodable`` where bytes come that are none, and call ``fault``."""
    context = client.ctx

    def fail() -> None:
        fault()
        waiting = context.response_future
        if not waiting.done():
            waiting.set_exception(Undecodable())
            waiting.exception()  # it may be that nobody waits: no request is under way

    context.framer = TolerantFramer(context.framer.decoder, fail)
