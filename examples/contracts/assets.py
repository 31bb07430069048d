"""Assets: texts of any size under names, as the published workloads of Fabric and Caliper create, read and update them.

Asset: `asset/<name>` = {"owner", "value"}. Who may sign at all may create; the owner alone updates. `wattq bench`
deploys this contract for its workloads `empty` and `asset-*`.
"""

NAME_CHARS_MAX = 64
VALUE_CHARS_MAX = 32000


@export("*")
def nothing():
    """Do nothing: what a transaction costs whose contract costs nothing."""
    return None


@export("*")
def create(asset: str, value: str):
    """Put a new asset. Errors: NAME_INVALID, VALUE_INVALID, ASSET_EXISTS."""
    sound = 0 < len(asset) and len(asset) <= NAME_CHARS_MAX and asset.find("/") < 0
    require(sound, "NAME_INVALID", "An asset's name is 1 to 64 characters without a slash.")
    require(get("asset/" + asset) is None, "ASSET_EXISTS", "There is an asset of this name.")
    write(asset, value)


@export("*")
def read(asset: str):
    """An asset's value, in an ordered transaction whose receipt proves it. Errors: NOT_FOUND."""
    return need(asset)["value"]


@export("*")
def update(asset: str, value: str):
    """Give one's own asset another value. Errors: NOT_FOUND, NOT_YOURS, VALUE_INVALID."""
    require(need(asset)["owner"] == caller(), "NOT_YOURS", "Only its owner updates an asset.")
    write(asset, value)


@view
def look(asset: str):
    """An asset's value, as one node says it. Errors: NOT_FOUND."""
    return need(asset)["value"]


@view
def look_at_nothing():
    """Nothing, as one node says it."""
    return None


def write(asset, value):
    require(len(value) <= VALUE_CHARS_MAX, "VALUE_INVALID", "A value is up to 32,000 characters.")
    put("asset/" + asset, {"owner": caller(), "value": value})


def need(asset):
    found = get("asset/" + asset)
    require(found is not None, "NOT_FOUND", "There is no such asset.")
    return found
