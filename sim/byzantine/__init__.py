"""Byzantine nodes: behaviours that compose, and the adversaries that use them. Importing this registers them all."""

from __future__ import annotations

from sim.byzantine import adversaries

__all__ = ["adversaries"]
