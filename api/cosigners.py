"""Whose accounts a key signs for: the policies in force (k of m keys sign for an account), by key.

Whoever is asked to sign for an account has to see what it signs. Read once from the state, then followed block by
block, since the state holds policies by account alone.
"""

from __future__ import annotations

import threading
from collections import defaultdict

from ledger.ledger import CommittedBlock, Ledger
from ledger.state import Entry
from ledger.values import decode_value

POLICY_PREFIX = "credit/policy/"
SCAN_KEYS = 1_000
ACCOUNTS_EACH_MAX = 64
"""Accounts of others that one key is told of, those whose policies stand longest: anybody may name a key unasked."""


class CoSigners:
    """One a ledger; it asks the ledger to call it. ``accounts_of`` may be asked by any thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._policies: dict[str, tuple[str, ...]] = {}
        self._by_key: defaultdict[str, dict[str, None]] = defaultdict(dict)
        ledger.on_commit.append(self._committed)
        ledger.on_install.append(self._read_all)
        self._read_all()

    def accounts_of(self, signer: str) -> frozenset[str]:
        """The accounts of others in whose policies ``signer`` is one of the keys; at most ``ACCOUNTS_EACH_MAX``."""
        with self._lock:
            accounts = [account for account in self._by_key.get(signer, ()) if account != signer]
        return frozenset(accounts[:ACCOUNTS_EACH_MAX])

    def _read_all(self) -> None:
        with self._lock:
            self._policies.clear()
            self._by_key.clear()
            reader, after, found = self._ledger.reader(), "", []
            while rows := reader.scan(POLICY_PREFIX, after, SCAN_KEYS):
                found += rows
                after = rows[-1][0]
            for key, entry in sorted(found, key=lambda row: (row[1].height, row[1].index, row[0])):
                self._put(key, entry)

    def _committed(self, block: CommittedBlock) -> None:
        """On the execution thread."""
        changed = [(key, entry) for key, entry in block.changes.items() if key.startswith(POLICY_PREFIX)]
        if changed:
            with self._lock:
                for key, entry in changed:
                    self._put(key, entry)

    def _put(self, key: str, entry: Entry | None) -> None:
        account = key.removeprefix(POLICY_PREFIX)
        for former in self._policies.pop(account, ()):
            del self._by_key[former][account]
            if not self._by_key[former]:
                del self._by_key[former]
        if entry is not None:
            self._policies[account] = keys = tuple(decode_value(entry.value)["keys"])
            for each in keys:
                self._by_key[each][account] = None
