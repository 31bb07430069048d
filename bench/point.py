"""`python -m bench.point`: one run in a process of its own, its options as JSON on standard input.

The answer is one line of JSON: ``{"figures": …}`` or, where the run could not be made, ``{"problem": …}``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import msgspec

from bench.options import BenchOptions
from bench.run import run_bench
from bench.sweep import NOT_MADE
from cluster import ContractSet
from contracts.catalog import shipped_sources
from contracts.parameters import MARKET_PARAMETERS


def measured(options: BenchOptions) -> dict[str, Any]:
    contracts = ContractSet(shipped_sources(), MARKET_PARAMETERS)
    try:
        return {"figures": asyncio.run(run_bench(options, contracts, lambda _: None))}
    except NOT_MADE as error:
        return {"problem": str(error)}


if __name__ == "__main__":
    print(json.dumps(measured(msgspec.json.decode(sys.stdin.buffer.read(), type=BenchOptions))))
