"""Money: integer micro-currency, in accounts with an available and a held part.

Account: `account/<signer>`. The sum over all accounts changes only by deposit and withdrawal, each signed by two
operators; `total` keeps it. The market holds a buyer's limit amount and a seller's collateral (market rules,
"Collateral"); settlement pays from what is held.
"""

AMOUNT_MAX = 1000000000000000


@export("operator")
def deposit(account: str, amount: int):
    """Credit an account against money received outside; two operators sign. Errors: TWO_OPERATORS, AMOUNT_INVALID."""
    check_operators(amount)
    authenticate(account, [])
    change(account, amount, 0)
    add_total(amount)
    emit("deposited", {"owner": account, "amount": amount})


@export("operator")
def withdraw(account: str, amount: int):
    """Pay an account's available money out; two operators sign. Errors: INSUFFICIENT_FUNDS, as deposit."""
    check_operators(amount)
    change(account, -amount, 0)
    add_total(-amount)
    emit("withdrawn", {"owner": account, "amount": amount})


def check_operators(amount):
    require(len(signers()) >= 2, "TWO_OPERATORS", "Two operators sign deposits and withdrawals.")
    authenticate(signers()[1], ["operator"])
    require(0 < amount and amount <= AMOUNT_MAX, "AMOUNT_INVALID", "An amount is positive and at most 10^15.")


def add_total(amount):
    known = get("total")
    total_now = 0
    if known is not None:
        total_now = known["total"]
    put("total", {"total": total_now + amount})


def change(account, available, held):
    """Add to both parts of an account; neither may become negative."""
    record = get("account/" + account)
    if record is None:
        record = {"type": "account", "signer": account, "available": 0, "held": 0}
    record["available"] += available
    record["held"] += held
    require(record["available"] >= 0, "INSUFFICIENT_FUNDS", "The account has not enough available money.")
    require(record["held"] >= 0, "INSUFFICIENT_HOLD", "Less is held than this would use.")
    put("account/" + account, record)


@internal("market", "auction", "offers", "settlement")
def hold(account: str, amount: int):
    """Move available money into the held part. Errors: INSUFFICIENT_FUNDS."""
    if amount > 0:
        change(account, -amount, amount)


@internal("market", "auction", "offers", "settlement")
def release(account: str, amount: int):
    """Give held money back to its owner."""
    if amount > 0:
        change(account, amount, -amount)


@internal("settlement")
def pay(payer: str, payee: str, amount: int):
    """Pay from what is held of the payer into the payee's available part."""
    pay_out(payer, payee, amount)


@internal("auction")
def forfeit(account: str, amount: int):
    """Take held money for the market: a sealed order's collateral that was never revealed."""
    pay_out(account, "balancing", amount)


def pay_out(payer, payee, amount):
    if amount > 0:
        change(payer, 0, -amount)
        change(payee, amount, 0)


@view
def balance(account: str):
    """An account's record, or None."""
    return get("account/" + account)


@view
def total():
    """Deposits less withdrawals."""
    return get("total")
