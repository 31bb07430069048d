"""Calls of the contract `credit`, with its own words. Written by scripts/calls.py; do not edit."""

from __future__ import annotations

from typing import Any

from sdk.calling import Call, View


def deposit(*, account: str, amount: int) -> Call:
    """Credit an account against money received outside; operators of two organisations sign, or two of the only one
    that governs.

    `amount` is micro-currency. Errors: TWO_OPERATORS, AMOUNT_INVALID, and why the owner may not act. The accounts
    `balancing` and `grid` are filled too, for adjustments to pay back. Source: market rules, "Accounts".
    """
    return Call("credit", "deposit", {"account": account, "amount": amount})


def withdraw(*, account: str, amount: int) -> Call:
    """Pay an account's available money out; operators sign as for a deposit.

    `amount` is micro-currency. Errors: INSUFFICIENT_FUNDS, as deposit. Source: market rules, "Accounts".
    """
    return Call("credit", "withdraw", {"account": account, "amount": amount})


def transfer(*, account: str, to: str, amount: int) -> Call:
    """Pay available micro-currency of an account to another one; who signs for the account signs.

    Errors: AMOUNT_INVALID, SAME_ACCOUNT, SIGNATURES_LACKING, INSUFFICIENT_FUNDS, SUSPENDED if the account's owner is,
    and why the payee may not act. Source: market rules, "Accounts".
    """
    return Call("credit", "transfer", {"account": account, "to": to, "amount": amount})


def set_policy(*, account: str, keys: list[Any], threshold: int) -> Call:
    """Have `threshold` of up to 16 keys sign for an account from now on: payments, offers, takings, and settlements of
    the trades that come of them.

    The keys are different traders of the account's organisation. Enough of the earlier and of the new ones sign, so
    that nobody is locked out, and each key that is named for the first time, so that nobody is made one with an account
    unasked. No keys and a threshold of 0: the owner's key alone signs again. Errors: POLICY_INVALID,
    SIGNATURES_LACKING, and why a key may not act. Source: market rules, "Accounts".
    """
    return Call("credit", "set_policy", {"account": account, "keys": keys, "threshold": threshold})


def balance(*, account: str) -> View:
    """An account's record, or None. Amounts are micro-currency. Source: market rules, "Accounts"."""
    return View("credit", "balance", {"account": account})


def get_policy(*, account: str) -> View:
    """Who signs for an account, and how many of them. Source: market rules, "Accounts"."""
    return View("credit", "get_policy", {"account": account})


def total() -> View:
    """Deposits less withdrawals, in micro-currency. Source: market rules, "Accounts"."""
    return View("credit", "total", {})
