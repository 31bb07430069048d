"""Certificates of origin: what a meter exported, by usable readings, each Wh counted once (Directive 2018/2001, 19).

Certificate: `certificate/<meter>/<interval>/<n>` = energy in Wh, its owner, active, claimed or cut, and how many parts
may still come off it: a part takes its share of them along, so that nobody uses up another owner's. Minted:
`minted/<meter>/<interval>` = {"energy_wh", "count"}: the energy of all that is active or claimed, never more than the
metered export. A claim burns: what is claimed is nobody's to pass on. Where a correction takes export back, the
certificates made last lose theirs first, and claims only after what is active.
"""

INTERVALS_MAX = 100
CERTIFICATES_MAX = 100
# A correction that takes all back tells of each certificate, and twice of each of a meter's 100 trades; 256 events may
# be.
FIRST_PARTS = 36
# Of what a correction adds.
LATER_PARTS = 1
PURPOSE_CHARS_MAX = 256


@export("seller", "prosumer", "gateway", "operator")
def mint(meter: str, intervals: list):
    """Certify what a meter exported in up to 100 intervals and is not certified yet; returns the certificates' ids.

    Whoever asks, they belong to the meter's owner at the reading. Errors: TOO_MANY, INTERVAL_INVALID, NOT_METERED.
    Source: market rules, "Origin".
    """
    require(len(intervals) <= INTERVALS_MAX, "TOO_MANY", "At most 100 intervals at once.")
    made = []
    for interval in intervals:
        sound = is_int(interval) and 0 <= interval and interval < 10000000000
        require(sound, "INTERVAL_INVALID", "An interval is UTC seconds // 900.")
        reading = peek("settlement", "reading/" + meter + "/" + pad(interval, 10))
        usable = reading is not None and reading["quality"] in ["good", "estimated"]
        require(usable, "NOT_METERED", "There is no usable reading of this interval.")
        minted = minted_of(meter, interval)
        rest = reading["export_wh"] - minted["energy_wh"]
        if rest > 0:
            minted["energy_wh"] += rest
            parts = LATER_PARTS
            if minted["count"] == 0:
                parts = FIRST_PARTS
            made.append(make(meter, interval, minted, reading["owner"], rest, parts))
    return made


@export("seller", "buyer", "prosumer")
def transfer(certificate_id: str, to: str, energy_wh: int):
    """Pass one's certificate on, whole or in part; returns the id of the one that the other now has.

    Errors: NOT_FOUND, NOT_YOURS, NOT_ACTIVE, ENERGY_INVALID, SAME_OWNER, TOO_MANY_PARTS, and why the other may not act.
    Source: market rules, "Origin".
    """
    require(to != caller(), "SAME_OWNER", "It is yours already.")
    authenticate(to, ["seller", "buyer", "prosumer"])
    record = take_part(certificate_id, energy_wh)
    record["owner"] = to
    put("certificate/" + record["id"], record)
    emit("transferred", {"certificate": record["id"], "owner": caller(), "to": to, "energy_wh": energy_wh})
    return record["id"]


@export("seller", "buyer", "prosumer")
def claim(certificate_id: str, energy_wh: int, purpose: str):
    """Use one's certificate up, whole or in part, for a purpose; returns the claimed one's id. It cannot be undone.

    Errors: NOT_FOUND, NOT_YOURS, NOT_ACTIVE, ENERGY_INVALID, PURPOSE_INVALID, TOO_MANY_PARTS. Source: market rules,
    "Origin".
    """
    require(len(purpose) <= PURPOSE_CHARS_MAX, "PURPOSE_INVALID", "A purpose has at most 256 characters.")
    record = take_part(certificate_id, energy_wh)
    record["status"] = "claimed"
    record["purpose"] = purpose
    put("certificate/" + record["id"], record)
    emit("claimed", {"certificate": record["id"], "owner": caller(), "energy_wh": energy_wh})
    return record["id"]


def take_part(certificate_id, energy_wh):
    """The caller's certificate, or a new one with a part of its energy."""
    record = get("certificate/" + certificate_id)
    require(record is not None, "NOT_FOUND", "There is no such certificate.")
    require(record["owner"] == caller(), "NOT_YOURS", "The certificate is somebody else's.")
    require(record["status"] == "active", "NOT_ACTIVE", "The certificate is used up.")
    fits = 0 < energy_wh and energy_wh <= record["energy_wh"]
    require(fits, "ENERGY_INVALID", "1 Wh up to the whole certificate.")
    if energy_wh == record["energy_wh"]:
        return record
    # A certificate from before parts were counted has none.
    left = record.get("parts", 0) - 1
    require(left >= 0, "TOO_MANY_PARTS", "No more parts come off this certificate: pass it on or claim it whole.")
    parts = left * energy_wh // record["energy_wh"]
    record["parts"] = left - parts
    record["energy_wh"] -= energy_wh
    put("certificate/" + certificate_id, record)
    minted = minted_of(record["meter"], record["interval"])
    return get("certificate/" + make(record["meter"], record["interval"], minted, caller(), energy_wh, parts))


def minted_of(meter, interval):
    known = get("minted/" + meter + "/" + pad(interval, 10))
    if known is None:
        return {"type": "minted", "meter": meter, "interval": interval, "energy_wh": 0, "count": 0}
    return known


def make(meter, interval, minted, owner, energy_wh, parts):
    """Put one more certificate of a meter's interval; returns its id."""
    place = meter + "/" + pad(interval, 10)
    name = place + "/" + pad(minted["count"], 2)
    minted["count"] += 1
    put("minted/" + place, minted)
    put(
        "certificate/" + name,
        {
            "type": "certificate",
            "id": name,
            "meter": meter,
            "interval": interval,
            "owner": owner,
            "energy_wh": energy_wh,
            "parts": parts,
            "status": "active",
            "purpose": "",
        },
    )
    emit("made", {"certificate": name, "owner": owner, "energy_wh": energy_wh})
    return name


@internal("settlement")
def cut(meter: str, interval: int, export_wh: int):
    """A corrected reading: certificates never add up to more than the export. Owners are told what they lose.

    Source: market rules, "Origin", "Adjustment".
    """
    minted = minted_of(meter, interval)
    excess = minted["energy_wh"] - export_wh
    if excess <= 0:
        return
    minted["energy_wh"] = export_wh
    place = meter + "/" + pad(interval, 10)
    put("minted/" + place, minted)
    rows = reversed(scan("certificate/" + place + "/", "", CERTIFICATES_MAX))
    for status in ["active", "claimed"]:
        for key, record in rows:
            if excess > 0 and record["status"] == status:
                lost = min(excess, record["energy_wh"])
                excess -= lost
                record["energy_wh"] -= lost
                if record["energy_wh"] == 0:
                    record["status"] = "cut"
                put(key, record)
                emit("cut", {"certificate": record["id"], "owner": record["owner"], "energy_wh": lost})


@view
def get_certificate(certificate_id: str):
    """A certificate's record, or None. Energy is Wh. Source: market rules, "Origin"."""
    return get("certificate/" + certificate_id)


@view
def certificates_of(meter: str, interval: int):
    """All certificates of a meter's interval, at most 100. Energy is Wh. Source: market rules, "Origin"."""
    found = []
    for key, record in scan("certificate/" + meter + "/" + pad(interval, 10) + "/", "", CERTIFICATES_MAX):
        found.append(record)
    return found
