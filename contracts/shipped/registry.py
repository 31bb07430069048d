"""Who takes part: users with certificates and roles, and the meters bound to them (S1, M8).

User: registry `user/<signer>`. Meter: registry `meter/<serial>`. Capacities are in W, times in UTC ms.
The executor's authentication reads `user/<signer>` and governance's `revoked/<serial>`. Where governance's parameter
`members_only` is not 0, operators admit whoever is new.
"""

METER_CHARS_MAX = 64


@export("*")
def register(certificate_der: str):
    """Register the caller with its base64 DER certificate, or renew an earlier registration.

    Errors: CERTIFICATE_INVALID, NOT_YOUR_CERTIFICATE, MEMBERS_ONLY, CERTIFICATE_NOT_YET_VALID, CERTIFICATE_EXPIRED,
    CERTIFICATE_REVOKED, OLDER_CERTIFICATE.
    """
    facts = certificate(certificate_der)
    require(facts["signer"] == caller(), "NOT_YOUR_CERTIFICATE", "The certificate is for another key.")
    closed = peek("governance", "parameter/members_only")
    free = closed is None or closed["value"] == 0 or get("user/" + caller()) is not None
    require(free, "MEMBERS_ONLY", "An operator admits whoever is to take part here.")
    enter(facts)


@export("operator")
def admit(certificate_der: str):
    """Register somebody with its base64 DER certificate, the way it would itself; its signer is returned.

    Errors: CERTIFICATE_INVALID, CERTIFICATE_NOT_YET_VALID, CERTIFICATE_EXPIRED, CERTIFICATE_REVOKED, OLDER_CERTIFICATE.
    """
    facts = certificate(certificate_der)
    enter(facts)
    return facts["signer"]


def enter(facts):
    """Put a user's record; what was decided about the user before stays."""
    require(facts["not_before_ms"] <= block_time(), "CERTIFICATE_NOT_YET_VALID", "The certificate is not valid yet.")
    require(block_time() <= facts["not_after_ms"], "CERTIFICATE_EXPIRED", "The certificate has expired.")
    revoked = peek("governance", "revoked/" + facts["serial"])
    require(revoked is None, "CERTIFICATE_REVOKED", "The certificate has been revoked.")
    place = "user/" + facts["signer"]
    known = get(place)
    suspended = False
    height = block_height()
    if known is not None:
        newer = facts["not_after_ms"] >= known["not_after_ms"]
        require(newer, "OLDER_CERTIFICATE", "A certificate that is valid for longer is registered already.")
        suspended = known["suspended"]
        height = known["registered_height"]
    put(
        place,
        {
            "type": "user",
            "signer": facts["signer"],
            "name": facts["name"],
            "organisation": facts["organisation"],
            "role": facts["role"],
            "serial": facts["serial"],
            "issuer": facts["issuer"],
            "not_before_ms": facts["not_before_ms"],
            "not_after_ms": facts["not_after_ms"],
            "suspended": suspended,
            "registered_height": height,
        },
    )
    emit("registered", {"signer": facts["signer"], "role": facts["role"]})


@export("operator")
def suspend(user: str, reason: str):
    """Bar a user from acting until resumed. Errors: NOT_FOUND."""
    set_suspended(user, True)
    emit("suspended", {"signer": user, "reason": reason})


@export("operator")
def resume(user: str):
    """Let a suspended user act again. Errors: NOT_FOUND."""
    set_suspended(user, False)
    emit("resumed", {"signer": user})


def set_suspended(user, suspended):
    record = get("user/" + user)
    require(record is not None, "NOT_FOUND", "There is no such user.")
    record["suspended"] = suspended
    put("user/" + user, record)


@export("operator")
def bind_meter(meter: str, owner: str, zone: str, capacity_w: int, gateway: str):
    """Bind a meter to its owner, grid zone, rated capacity in W, and the gateway that signs its readings.

    Errors: METER_INVALID, CAPACITY_INVALID, or why owner or gateway may not act.
    """
    good = 0 < len(meter) and len(meter) <= METER_CHARS_MAX and meter.find("/") < 0
    require(good, "METER_INVALID", "A meter's serial is 1 to 64 characters without a slash.")
    authenticate(owner, ["seller", "buyer", "prosumer"])
    authenticate(gateway, ["gateway"])
    require(0 < capacity_w and capacity_w <= 1000000000, "CAPACITY_INVALID", "A capacity is 1 W to 1 GW.")
    put(
        "meter/" + meter,
        {"type": "meter", "meter": meter, "owner": owner, "zone": zone, "capacity_w": capacity_w, "gateway": gateway},
    )
    emit("meter_bound", {"meter": meter, "owner": owner})


@view
def get_user(signer: str):
    """A user's record, or None."""
    return get("user/" + signer)


@view
def get_meter(serial: str):
    """A meter's record, or None."""
    return get("meter/" + serial)
