"""Byzantine nodes: behaviours that compose, and the adversaries that use them. Importing this registers them all."""

from __future__ import annotations

from sim.byzantine import adversaries, wires

__all__ = ["adversaries", "wires"]
