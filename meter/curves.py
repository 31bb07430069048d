"""What simulated meters play, from a CSV file: one row a quarter-hour, in Wh.

Columns: ``import_wh``, ``export_wh``; ``meter`` where there are several, ``interval`` if rows are not in order.
"""

from __future__ import annotations

import csv
from pathlib import Path

from meter.errors import ProfileError

REQUIRED = ("import_wh", "export_wh")
WH_MAX = 10_000_000
ROWS_MAX = 1_000_000

Curve = tuple[tuple[int, ...], tuple[int, ...]]
"""Import and export, an interval each."""


def load_curves(path: Path) -> dict[str, Curve]:
    """Curves by meter; ``ProfileError`` names file and line."""
    rows: dict[str, list[tuple[int, int, int]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines, strict=True)
            for column in REQUIRED:
                if column not in (reader.fieldnames or ()):
                    raise ProfileError(f"{path}: there is no column {column}")
            for number, row in enumerate(reader):
                if number >= ROWS_MAX:
                    raise ProfileError(f"{path}: more than {ROWS_MAX} rows")
                place = _whole(row, "interval", path, reader.line_num, 1 << 40) if "interval" in row else number
                energies = [_whole(row, column, path, reader.line_num, WH_MAX) for column in REQUIRED]
                rows.setdefault(row.get("meter") or "meter", []).append((place, energies[0], energies[1]))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ProfileError(f"{path}: cannot be read: {error}") from None
    if not rows:
        raise ProfileError(f"{path}: no rows")
    numbered = "interval" in (reader.fieldnames or ())
    return {meter: _curve(played, numbered, f"{path}: meter {meter}") for meter, played in rows.items()}


def _curve(played: list[tuple[int, int, int]], numbered: bool, source: str) -> Curve:
    played.sort()
    places = [place for place, _, _ in played]
    if numbered and places != list(range(places[0], places[0] + len(places))):
        raise ProfileError(f"{source}: an interval is missing, or there twice")
    return tuple(imported for _, imported, _ in played), tuple(exported for _, _, exported in played)


def _whole(row: dict[str, str], column: str, path: Path, line: int, most: int) -> int:
    text = row[column] or ""
    if not (text.isascii() and text.isdigit()) or int(text) > most:
        raise ProfileError(f"{path}: line {line}: {column}: {text!r} is no whole number up to {most}")
    return int(text)
