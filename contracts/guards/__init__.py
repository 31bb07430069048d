"""Guarded operations: each checks types and sizes, and charges for what depends on the operands' sizes.

They are closures, made once a thread, and share that thread's meter: a one-element list of the gas that is left.
"""

from __future__ import annotations

from typing import Any

from contracts.guards.arithmetic import make_arithmetic
from contracts.guards.comparison import make_comparisons
from contracts.guards.containers import make_access, make_dict_key, make_loops
from contracts.guards.conversions import make_conversions
from contracts.guards.meter import LIMIT, Meter, full, make_charges, spent
from contracts.guards.methods import make_methods
from contracts.guards.sequences import make_sequences


def make_guards(meter: Meter) -> dict[str, Any]:
    """Everything that rewritten code names and contracts may call, but for the host's functions."""
    charges = make_charges(meter)
    dict_key = make_dict_key(charges)
    arithmetic, comparisons = make_arithmetic(charges), make_comparisons(meter, charges)
    loops = make_loops(charges, dict_key)
    eq, listed = comparisons["_eq"], loops["list"]
    return {
        "_gas": charges.gas,
        "_spent": spent,
        "_charge": charges.charge,
        "_enter": charges.enter,
        "_leave": charges.leave,
        "_hold": charges.hold,
        "_given": charges.given,
        "_type": type,
        "_dict_type": dict,
        "_int_type": int,
        "_list_type": list,
        "_str_type": str,
        "_length": len,
        "_containers": frozenset((list, dict)),
        "_full": full,
        **arithmetic,
        **comparisons,
        **make_access(charges, dict_key, eq),
        **loops,
        **make_sequences(meter, charges, loops),
        **make_conversions(charges, listed),
        **make_methods(charges, eq, dict_key, listed),
    }


__all__ = ["LIMIT", "Meter", "make_guards"]
