"""What the members decide together: revocations and market parameters. Contracts and roots come with genesis.

Revocation: `revoked/<serial>`. Parameter: `parameter/<name>` = {"value"}. Units are in the parameters' names.
"""

YEAR_S = 31622400
PRICE_MAX = 1000000000
OTHER_MAX = 9007199254740991


@export("operator")
def revoke(serial: str, reason: str):
    """Revoke a certificate by its serial (hex), from this transaction on. Errors: ALREADY_REVOKED."""
    serial = serial.lower()
    require(get("revoked/" + serial) is None, "ALREADY_REVOKED", "This certificate is revoked already.")
    put("revoked/" + serial, {"type": "revocation", "serial": serial, "reason": reason, "height": block_height()})
    emit("revoked", {"serial": serial})


@export("operator")
def set_parameter(name: str, value: int):
    """Change a market parameter; two operators sign. Errors: TWO_OPERATORS, PARAMETER_UNKNOWN, PARAMETER_INVALID."""
    require(len(signers()) >= 2, "TWO_OPERATORS", "Two operators sign a change of parameters.")
    authenticate(signers()[1], ["operator"])
    old = parameter(name)
    most = greatest(name)
    require(0 <= value and value <= most, "PARAMETER_INVALID", "The parameter is 0 to " + str(most) + ".")
    put("parameter/" + name, {"value": value})
    emit("parameter_set", {"name": name, "old": old, "new": value})


def greatest(name):
    """Beyond these, settlements that are under way could no longer be paid or scheduled."""
    if name.endswith("_permille"):
        return 1000
    if name.endswith("_s"):
        return YEAR_S
    if name.endswith("_price"):
        return PRICE_MAX
    return OTHER_MAX
