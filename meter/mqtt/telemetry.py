"""What a gateway measures, as messages: power and counters as they come, and each closed interval."""

from __future__ import annotations

from meter.counters import Sample
from meter.intervals import INTERVAL_MS, Reading
from meter.mqtt.messages import Energy, IntervalReading, Power, encode
from meter.mqtt.outbox import Outbox, Outgoing
from meter.mqtt.topics import Topics
from meter.units import MeterUnit


class Telemetry:
    """A ``meter.gateway.Watcher`` that puts everything into an outbox."""

    def __init__(self, topics: Topics, outbox: Outbox) -> None:
        self._topics, self._outbox = topics, outbox

    def measured(self, unit: MeterUnit, sample: Sample) -> None:
        told = Energy(meter=unit.serial, import_wh=sample.import_wh, export_wh=sample.export_wh, time_ms=sample.at_ms)
        self._retain(unit.serial, "energy", encode(told), 0)

    def power(self, unit: MeterUnit, at_ms: int, power_w: int) -> None:
        told = Power(meter=unit.serial, power_w=power_w, time_ms=at_ms)
        self._retain(unit.serial, "power", encode(told), 0)

    def closed(self, reading: Reading) -> None:
        starts_ms = reading.interval * INTERVAL_MS
        told = IntervalReading(
            meter=reading.meter,
            interval=reading.interval,
            starts_ms=starts_ms,
            ends_ms=starts_ms + INTERVAL_MS,
            epoch=reading.epoch,
            sequence=reading.sequence,
            import_wh=reading.import_wh,
            export_wh=reading.export_wh,
            quality=reading.quality.value,
            clock_offset_ms=reading.clock_offset_ms,
        )
        self._retain(reading.meter, "reading", encode(told), 1)

    def _retain(self, meter: str, what: str, payload: bytes, qos: int) -> None:
        self._outbox.put(Outgoing(self._topics.meter(meter, what), payload, qos, retain=True))
