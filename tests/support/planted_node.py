"""A lab's node with a bug of ``mutants.catalogue`` in it: ``python -m planted_node``; the environment names the bug.

For tests of the lab alone, which has to see on real processes what such nodes do. Everything in the process that
imports the changed function has it: the node's modules are loaded first.
"""

from __future__ import annotations

import os
import sys

import pytest
from mutants.catalogue import MUTANTS

from faults.real import node

BUG_VARIABLE = "WATTQ_PLANTED_BUG"
MODULE = "planted_node"

if __name__ == "__main__":
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == os.environ[BUG_VARIABLE])
    mutant.plant(pytest.MonkeyPatch())
    sys.exit(node.main())
