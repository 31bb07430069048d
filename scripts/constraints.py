"""Prints the tested versions for `constraints.txt`: names and versions of what is installed here.

Run by `make constraints` in an environment of the oldest supported Python, since its versions suit the
newer ones too and not the other way round.
"""

from __future__ import annotations

from importlib.metadata import distributions

NOT_OURS_TO_PIN = {"pip", "wattquorum"}


def pins() -> list[str]:
    installed = {dist.metadata["Name"]: dist.version for dist in distributions()}
    return sorted(
        (f"{name}=={version}" for name, version in installed.items() if name not in NOT_OURS_TO_PIN),
        key=str.lower,
    )


if __name__ == "__main__":
    print("\n".join(pins()))
