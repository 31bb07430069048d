"""What can go wrong between a gateway, its meters and the chain."""

from __future__ import annotations


class MeterError(Exception):
    """Base of everything this room raises for others' faults."""


class ProfileError(MeterError):
    """A device profile or another file of ours that cannot be used; the message names file and key."""


class DeviceError(MeterError):
    """A device did not give a usable answer. The unit is left alone for a while; other units are not."""


class NoAnswer(DeviceError):
    """Silence until the timeout."""


class Garbage(DeviceError):
    """Bytes came that are no Modbus answer."""


class DeviceRefused(DeviceError):
    """The device answered with a Modbus exception code."""

    def __init__(self, address: int, code: int) -> None:
        super().__init__(f"register 0x{address:04X}: Modbus exception code {code}")
        self.code = code


class WrongDevice(DeviceError):
    """What answers is not what the profile describes: no SunSpec mark, no such model, a value that cannot be."""


class LineDown(MeterError):
    """The TCP connection to a line of meters cannot be made, or was lost."""


class BufferFull(MeterError):
    """The reading buffer has reached ``buffer_bytes_max``; nothing of the refused record was kept."""


class BufferCorrupt(MeterError):
    """A record in the middle of a reading buffer is damaged; the message names file and offset."""


class BufferInUse(MeterError):
    """Another process has the reading buffer open."""


class SubmitUnavailable(MeterError):
    """The chain could not be reached, or did not vouch for the readings in time. They are submitted again."""


class ReadingsRefused(MeterError):
    """The chain refused a submission, and would refuse it again; ``mendable``: until somebody puts the meter right."""

    def __init__(self, code: str, message: str, mendable: bool = False) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.mendable = code, mendable
