"""Search on from a decoder's samples: ``python -m guided NAME CORPUS [libFuzzer's options]`` (CONTRIBUTING.md).

Only what is imported below tells atheris which of its lines are reached: our own rooms, since to instrument everything
takes minutes before anything is thrown.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # by hand: pip install atheris

ROOMS = ["api", "bench", "ca", "contracts", "faults", "ledger", "meter", "pbft", "sdk"]

with atheris.instrument_imports(include=ROOMS):
    from decoders import DECODERS, throw


def main() -> None:
    name, corpus = sys.argv.pop(1), Path(sys.argv.pop(1))
    if not corpus.is_file():  # what an earlier search has found is thrown alone
        corpus.mkdir(parents=True, exist_ok=True)
        for number, sample in enumerate(DECODERS[name].samples()):
            (corpus / f"sample-{number}").write_bytes(sample)
    atheris.Setup([*sys.argv, str(corpus)], lambda data: throw(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
