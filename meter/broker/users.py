"""Who may connect to the embedded broker, and what each may read and write.

A TOML file holds users with a salted scrypt hash of their password, the parties whose affairs they may read, the meters
that they may read, and whether they may feed readings. What is nobody's private affair anybody may read, as over REST.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import scrypt
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from meter.broker.packets import matches
from meter.strict import load_toml

SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 14, 8, 1
HASH_BYTES, SALT_BYTES = 32, 16
PASSWORD_BYTES_MAX = 256
USERS_MAX = 1_000

UserName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class UserEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``password``: ``SALT:HASH`` in hexadecimal, as ``wattq mqtt user`` writes it. ``parties``: signers. ``meters``:
    serials. ``feeds``: may publish samples of its meters. ``home``: a home automation, which may say that it began."""

    password: Annotated[str, Meta(pattern="^[0-9a-f]{32}:[0-9a-f]{64}$")]
    parties: tuple[str, ...] = ()
    meters: tuple[str, ...] = ()
    feeds: bool = False
    home: bool = True


class UsersFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user: dict[UserName, UserEntry] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Account:
    """A connected user: the filters of what it may read and write. ``owner`` may do all: the node itself."""

    name: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    owner: bool = False

    def may_read(self, topic: str) -> bool:
        return self.owner or any(matches(allowed, topic) for allowed in self.reads)

    def may_write(self, topic: str) -> bool:
        return self.owner or any(matches(allowed, topic) for allowed in self.writes)


@dataclass(frozen=True, slots=True)
class Rights:
    """What topics are whose: filters by party and by meter, and for everybody. All of it is the publisher's to say."""

    public: tuple[str, ...]
    of_party: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of_meter: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    feed_of: Mapping[str, str] = field(default_factory=dict)
    home: tuple[str, ...] = ()


def load_users(path: Path) -> dict[str, UserEntry]:
    """The users of a file; none if there is no file. ``ProfileError`` names file and key."""
    return dict(load_toml(path, UsersFile).user) if path.exists() else {}


def hashed(password: bytes, salt: bytes) -> bytes:
    """Takes some 50 ms on purpose; for threads."""
    return scrypt(password, salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, dklen=HASH_BYTES)


def sealed(password: str) -> str:
    """``SALT:HASH`` of a new password."""
    salt = secrets.token_bytes(SALT_BYTES)
    return f"{salt.hex()}:{hashed(password.encode(), salt).hex()}"


def is_password(entry: UserEntry | None, password: bytes) -> bool:
    """Whether it is; as slow for a user that there is not."""
    salt, _, digest = (entry.password if entry else "00" * SALT_BYTES + ":" + "00" * HASH_BYTES).partition(":")
    good = hmac.compare_digest(hashed(password[:PASSWORD_BYTES_MAX], bytes.fromhex(salt)), bytes.fromhex(digest))
    return good and entry is not None


def account_of(name: str, entry: UserEntry, rights: Rights) -> Account:
    reads = [*rights.public, *rights.home]
    for owned, filters in ((entry.parties, rights.of_party), (entry.meters, rights.of_meter)):
        for name_of in owned:
            reads += filters.get(name_of, ())
    writes = list(rights.home if entry.home else ())
    writes += (rights.feed_of[meter] for meter in entry.meters if entry.feeds and meter in rights.feed_of)
    return Account(name, tuple(reads), tuple(writes))


def stranger(rights: Rights) -> Account:
    """Somebody without a password."""
    return Account("", rights.public)


def users_text(users: Mapping[str, UserEntry]) -> str:
    """The file of these users."""
    return "\n".join(_user_text(name, entry) for name, entry in sorted(users.items()))


def _user_text(name: str, entry: UserEntry) -> str:
    lines = [f'[user."{name}"]', f'password = "{entry.password}"']
    lines += [f"parties = {_listed(entry.parties)}", f"meters = {_listed(entry.meters)}"]
    lines += [f"feeds = {str(entry.feeds).lower()}", f"home = {str(entry.home).lower()}"]
    return "\n".join(lines) + "\n"


def _listed(texts: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"
