"""Writes docs/schemas/ from the messages' structures: `python -m scripts.mqtt_schemas`. A test keeps them the same."""

from __future__ import annotations

import json
from pathlib import Path

from meter.mqtt.messages import MESSAGES, schema_of

DIRECTORY = Path(__file__).resolve().parents[1] / "docs" / "schemas"


def text_of(name: str) -> str:
    return json.dumps(schema_of(name), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    DIRECTORY.mkdir(exist_ok=True)
    for name in MESSAGES:
        (DIRECTORY / f"{name}.json").write_text(text_of(name), encoding="utf-8")


if __name__ == "__main__":
    main()
