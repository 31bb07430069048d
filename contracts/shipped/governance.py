"""What the members decide together: revocations and market parameters. Contracts and roots come with genesis.

Revocation: `revoked/<serial>`. Parameter: `parameter/<name>` = {"value"}. Units are in the parameters' names.
"""


@export("operator")
def revoke(serial: str, reason: str):
    """Revoke a certificate by its serial (hex), from this transaction on. Errors: ALREADY_REVOKED."""
    require(get("revoked/" + serial) is None, "ALREADY_REVOKED", "This certificate is revoked already.")
    put("revoked/" + serial, {"type": "revocation", "serial": serial, "reason": reason, "height": block_height()})
    emit("revoked", {"serial": serial})


@export("operator")
def set_parameter(name: str, value: int):
    """Change a market parameter; two operators sign. Errors: TWO_OPERATORS, PARAMETER_UNKNOWN, PARAMETER_INVALID."""
    require(len(signers()) >= 2, "TWO_OPERATORS", "Two operators sign a change of parameters.")
    authenticate(signers()[1], ["operator"])
    old = parameter(name)
    require(0 <= value and value < 9007199254740992, "PARAMETER_INVALID", "A parameter is 0 to 2^53.")
    put("parameter/" + name, {"value": value})
    emit("parameter_set", {"name": name, "old": old, "new": value})
