"""Imports every module that registers adversaries, behaviours and filters: whoever reads the tables imports this."""

from __future__ import annotations

from sim import adversaries, byzantine
from sim.behaviour import BEHAVIOURS
from sim.plan import ADVERSARIES, plan_of
from sim.wires import WIRES

__all__ = ["ADVERSARIES", "BEHAVIOURS", "WIRES", "adversaries", "byzantine", "plan_of"]
