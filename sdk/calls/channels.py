"""Calls of the contract `channels`, with its own words. Written by scripts/calls.py; do not edit."""

from __future__ import annotations

from sdk.calling import Call, View


def create(*, name: str, genesis: str) -> Call:
    """Found a channel: its name (small letters, digits, hyphens) and its genesis file's SHA-256 (hex).

    Errors: CONSENT_LACKING, NAME_INVALID, HASH_INVALID, CHANNEL_EXISTS, TOO_MANY_CHANNELS. Source: market rules,
    "Channels".
    """
    return Call("channels", "create", {"name": name, "genesis": genesis})


def close(*, name: str) -> Call:
    """Close a channel for good: nothing is submitted to it any more.

    Errors: CONSENT_LACKING, NOT_FOUND, CLOSED. Source: market rules, "Channels".
    """
    return Call("channels", "close", {"name": name})


def get_channel(*, name: str) -> View:
    """A channel's record, or None. Source: market rules, "Channels"."""
    return View("channels", "get_channel", {"name": name})
