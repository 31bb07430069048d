"""The market's terms, which everybody may know: parameters, grid fees, products, and who consents to a change."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.state import StateReader
from ledger.values import Value, decode_value
from sdk.methods import GridFee, Product, Terms

PARAMETERS_MAX = 64
GRID_FEES_MAX = 4_096
"""Pairs of zones, and products, that one answer looks at: the first ones by name."""
PRODUCTS_MAX = 256


def read_terms(reader: StateReader, height: int) -> Terms:
    organisations = reader.get("governance/organisations")
    rule: Value = {"names": [], "threshold": 0} if organisations is None else decode_value(organisations.value)
    return Terms(
        parameters={name: int(value["value"]) for name, value in _below(reader, "parameter", PARAMETERS_MAX)},
        grid_fees=tuple(_grid_fee(zones, value) for zones, value in _below(reader, "grid_fee", GRID_FEES_MAX)),
        products=tuple(_product(name, value) for name, value in _below(reader, "product", PRODUCTS_MAX)),
        organisations=tuple(rule["names"]),
        threshold=int(rule["threshold"]),
        height=height,
    )


def _below(reader: StateReader, kind: str, limit: int) -> Iterator[tuple[str, Value]]:
    prefix = f"governance/{kind}/"
    for key, entry in reader.scan(prefix, "", limit):
        yield key[len(prefix) :], decode_value(entry.value)


def _grid_fee(zones: str, value: Value) -> GridFee:
    from_zone, to_zone = zones.split("/")
    return GridFee(from_zone, to_zone, int(value["fee"]), int(value["from_ms"]), int(value["before"]))


def _product(name: str, value: Value) -> Product:
    return Product(name, tuple(value["zones"]), value["mechanism"], int(value["grid_fee"]), value["ties"])
