"""Money: integer micro-currency, in accounts with an available and a held part.

Account: `account/<signer>`. The sum over all accounts changes only by deposit and withdrawal, each signed by operators
of two organisations; `total` keeps it. The market holds a buyer's limit amount and a seller's collateral (market rules,
"Collateral"); settlement pays from what is held.

Policy: `policy/<account>` = {"keys", "threshold"}: as many of these keys sign for the account instead of its owner's,
for whatever holds or pays its money.
"""

AMOUNT_MAX = 1000000000000000
OWN_ACCOUNTS = "balancing grid"
KEYS_MAX = 16


@export("operator")
def deposit(account: str, amount: int):
    """Credit an account against money received outside; operators of two organisations sign, or two of the only one
    that governs.

    `amount` is micro-currency. Errors: TWO_OPERATORS, AMOUNT_INVALID, and why the owner may not act. The accounts
    `balancing` and `grid` are filled too, for adjustments to pay back. Source: market rules, "Accounts".
    """
    check_operators(amount)
    if account not in OWN_ACCOUNTS.split(" "):
        authenticate(account, [])
    change(account, amount, 0, 0)
    add_total(amount)
    emit("deposited", {"owner": account, "amount": amount})


@export("operator")
def withdraw(account: str, amount: int):
    """Pay an account's available money out; operators sign as for a deposit.

    `amount` is micro-currency. Errors: INSUFFICIENT_FUNDS, as deposit. Source: market rules, "Accounts".
    """
    check_operators(amount)
    change(account, -amount, 0, 0)
    add_total(-amount)
    emit("withdrawn", {"owner": account, "amount": amount})


@export("seller", "buyer", "prosumer")
def transfer(account: str, to: str, amount: int):
    """Pay available micro-currency of an account to another one; who signs for the account signs.

    Errors: AMOUNT_INVALID, SAME_ACCOUNT, SIGNATURES_LACKING, INSUFFICIENT_FUNDS, SUSPENDED if the account's owner is,
    and why the payee may not act. Source: market rules, "Accounts".
    """
    check_amount(amount)
    require(account != to, "SAME_ACCOUNT", "The two accounts are the same.")
    if standing(account, []) == "SUSPENDED":
        # Others that sign for it cannot take away what is to stay; of a certificate that ended they can.
        authenticate(account, [])
    authenticate(to, [])
    need_signatures(policy_of(account))
    change(account, -amount, 0, 0)
    change(to, amount, 0, 0)
    emit("transferred", {"owner": account, "to": to, "amount": amount})


@export("seller", "buyer", "prosumer")
def set_policy(account: str, keys: list, threshold: int):
    """Have `threshold` of up to 16 keys sign for an account from now on: payments, offers, takings, and settlements of
    the trades that come of them.

    The keys are different traders of the account's organisation. Enough of the earlier and of the new ones sign, so
    that nobody is locked out, and each key that is named for the first time, so that nobody is made one with an account
    unasked. No keys and a threshold of 0: the owner's key alone signs again. Errors: POLICY_INVALID,
    SIGNATURES_LACKING, and why a key may not act. Source: market rules, "Accounts".
    """
    old = policy_of(account)
    need_signatures(old)
    if len(keys) == 0 and threshold == 0:
        need_signatures({"keys": [account], "threshold": 1})
        delete("policy/" + account)
        emit("policy_set", {"owner": account, "keys": [account], "threshold": 1})
        return
    sound = len(keys) <= KEYS_MAX and 1 <= threshold and threshold <= len(keys)
    require(sound, "POLICY_INVALID", "The threshold is 1 to the number of keys, 16 at most.")
    organisation = peek("registry", "user/" + account)["organisation"]
    seen = []
    for key in keys:
        require(is_str(key) and key not in seen, "POLICY_INVALID", "The keys are different signers.")
        authenticate(key, ["seller", "buyer", "prosumer"])
        same = peek("registry", "user/" + key)["organisation"] == organisation
        require(same, "POLICY_INVALID", "The keys are of the account's organisation.")
        agrees = key in old["keys"] or key in signers()
        require(agrees, "SIGNATURES_LACKING", "Whose key is named for the first time signs.")
        seen.append(key)
    policy = {"type": "policy", "account": account, "keys": keys, "threshold": threshold, "height": block_height()}
    need_signatures(policy)
    put("policy/" + account, policy)
    emit("policy_set", {"owner": account, "keys": keys, "threshold": threshold})


def policy_of(account):
    """Who signs for an account: its own key if nothing else is set."""
    known = get("policy/" + account)
    if known is None:
        return {"keys": [account], "threshold": 1}
    return known


def check_policy(account):
    """Where a policy signs for an account, it has signed; its owner's own key is asked for where the offer is made."""
    policy = get("policy/" + account)
    if policy is not None:
        need_signatures(policy)


def need_signatures(policy):
    found = 0
    for signer in signers():
        if signer in policy["keys"]:
            found += 1
    require(found >= policy["threshold"], "SIGNATURES_LACKING", "Too few have signed for the account.")


def check_operators(amount):
    names = peek("governance", "organisations")["names"]
    operators = []
    organisations = []
    for signer in signers():
        if standing(signer, ["operator"]) == "":
            organisation = peek("registry", "user/" + signer)["organisation"]
            if organisation in names:
                operators.append(signer)
                if organisation not in organisations:
                    organisations.append(organisation)
    enough = len(operators) >= 2 and (len(organisations) >= 2 or len(names) == 1)
    require(enough, "TWO_OPERATORS", "Operators of two organisations sign deposits and withdrawals.")
    check_amount(amount)


def check_amount(amount):
    require(0 < amount and amount <= AMOUNT_MAX, "AMOUNT_INVALID", "An amount is positive and at most 10^15.")


def add_total(amount):
    known = get("total")
    total_now = 0
    if known is not None:
        total_now = known["total"]
    put("total", {"total": total_now + amount})


def change(account, available, held, spare):
    """Add to both parts of an account; `spare` at least stays available, and no less than nothing is held."""
    place = "account/" + account
    record = get(place)
    if record is None:
        record = {"type": "account", "signer": account, "available": 0, "held": 0}
    record["available"] += available
    record["held"] += held
    require(record["available"] >= spare, "INSUFFICIENT_FUNDS", "The account has not enough available money.")
    require(record["held"] >= 0, "INSUFFICIENT_HOLD", "Less is held than this would use.")
    put(place, record)


@internal("market", "auction", "offers")
def hold(account: str, amount: int):
    """Move available money into the held part; who signs for the account signs.

    `amount` is micro-currency. Errors: SIGNATURES_LACKING, INSUFFICIENT_FUNDS. Source: market rules, "Collateral".
    """
    check_policy(account)
    if amount > 0:
        change(account, -amount, amount, 0)


@internal("market")
def hold_of(account: str, amount: int, needed: int):
    """Hold a part of `needed` money, all of which has to be available; who signs for the account signs.

    Amounts are micro-currency. Errors: SIGNATURES_LACKING, INSUFFICIENT_FUNDS. Source: market rules, "Collateral".
    """
    check_policy(account)
    change(account, -amount, amount, needed - amount)


@internal("market", "auction", "offers")
def release(account: str, amount: int):
    """Give held money back to its owner. `amount` is micro-currency. Source: market rules, "Collateral"."""
    if amount > 0:
        change(account, amount, -amount, 0)


@internal("auction")
def forfeit(account: str, amount: int):
    """Take held money for the market: a sealed order's collateral that was never revealed.

    `amount` is micro-currency. Source: market rules, "Sealed orders".
    """
    if amount > 0:
        change(account, 0, -amount, 0)
        change("balancing", amount, 0, 0)


@internal("settlement")
def post(entries: list):
    """Book entries of [account, available, held] that add up to nothing, in order: releases before payments.

    Amounts are micro-currency. Errors: INSUFFICIENT_FUNDS, INSUFFICIENT_HOLD, UNBALANCED. Source: market rules,
    "Accounts".
    """
    rest = 0
    for account, available, held in entries:
        rest += available + held
        if available != 0 or held != 0:
            change(account, available, held, 0)
    require(rest == 0, "UNBALANCED", "Money is neither made nor lost.")


@view
def balance(account: str):
    """An account's record, or None. Amounts are micro-currency. Source: market rules, "Accounts"."""
    return get("account/" + account)


@view
def get_policy(account: str):
    """Who signs for an account, and how many of them. Source: market rules, "Accounts"."""
    return policy_of(account)


@view
def total():
    """Deposits less withdrawals, in micro-currency. Source: market rules, "Accounts"."""
    return get("total")
