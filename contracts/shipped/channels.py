"""Ledgers beside this one, of which only their members know more than the name: created and closed by governance.

Channel: `channels/<name>` = {"type": "channel", "genesis", "closed"}; `genesis` is the SHA-256 (hex) of its genesis
file, which its members hold. Acts take operators of as many organisations as governance does.
"""

NAME_MAX = 32
HASH_CHARS = 64
CHANNELS_MAX = 128


@export("operator")
def create(name: str, genesis: str):
    """Found a channel: its name (small letters, digits, hyphens) and its genesis file's SHA-256 (hex).

    Errors: CONSENT_LACKING, NAME_INVALID, HASH_INVALID, CHANNEL_EXISTS, TOO_MANY_CHANNELS. Source: market rules,
    "Channels".
    """
    need_consent()
    sound = 0 < len(name) and len(name) <= NAME_MAX and only(name, "abcdefghijklmnopqrstuvwxyz0123456789-")
    sound = sound and not name.startswith("-") and name != peek("governance", "network")["channel"]
    require(sound, "NAME_INVALID", "A name is 1 to 32 small letters, digits and hyphens, and not this channel's.")
    hashed = len(genesis) == HASH_CHARS and only(genesis, "0123456789abcdef")
    require(hashed, "HASH_INVALID", "The genesis file's SHA-256 is 64 hexadecimal digits.")
    require(get(name) is None, "CHANNEL_EXISTS", "There is, or was, a channel of this name.")
    full = "There are as many channels as can be."
    require(len(scan("", "", CHANNELS_MAX)) < CHANNELS_MAX, "TOO_MANY_CHANNELS", full)
    put(name, {"type": "channel", "genesis": genesis, "closed": False})
    emit("created", {"name": name, "genesis": genesis})


@export("operator")
def close(name: str):
    """Close a channel for good: nothing is submitted to it any more.

    Errors: CONSENT_LACKING, NOT_FOUND, CLOSED. Source: market rules, "Channels".
    """
    need_consent()
    record = get(name)
    require(record is not None, "NOT_FOUND", "There is no such channel.")
    require(not record["closed"], "CLOSED", "This channel is closed already.")
    record["closed"] = True
    put(name, record)
    emit("closed", {"name": name})


@view
def get_channel(name: str):
    """A channel's record, or None. Source: market rules, "Channels"."""
    return get(name)


def only(text, allowed):
    for char in text:
        if char not in allowed:
            return False
    return True


def need_consent():
    """Operators of enough different organisations have signed."""
    rule = peek("governance", "organisations")
    found = []
    for signer in signers():
        if standing(signer, ["operator"]) == "":
            organisation = peek("registry", "user/" + signer)["organisation"]
            if organisation in rule["names"] and organisation not in found:
                found.append(organisation)
    sentence = "Operators of " + str(rule["threshold"]) + " organisations sign this."
    require(len(found) >= rule["threshold"], "CONSENT_LACKING", sentence)
