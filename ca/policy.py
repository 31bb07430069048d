"""Who is admitted without a code: the rules in a CA's ``policy.toml``. The first that fits an application decides.

```toml
otherwise = "wait"                  # for an operator's decision; or "refuse"
issues_per_day_max = 1000           # more wait

[[rule]]
roles = ["seller", "buyer", "prosumer"]
organisations = ["North Coop"]      # none: any
then = "issue"                      # or "wait", or "refuse"
days = 180
attributes = { zone = "north" }
```

Names are what the applicant says: "issue" is for a CA that only people reach who may say so.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ca.certificates import MARKET_ROLES, InvalidCertificate, RequestFacts, Role
from ca.folder import AuthorityError
from ca.issuing import check_attributes

FILE = "policy.toml"
RULES_MAX = 256
Verdict = Literal["issue", "wait", "refuse"]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom it is about (an empty list: anybody), and what becomes of them."""

    roles: tuple[Role, ...] = ()
    organisations: tuple[str, ...] = ()
    then: Verdict
    days: Annotated[int, Meta(ge=1, le=3_650)] = 365
    attributes: dict[str, str] = {}

    def fits(self, facts: RequestFacts) -> bool:
        role = not self.roles or facts.role in self.roles
        return role and (not self.organisations or facts.organisation in self.organisations)


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    otherwise: Literal["wait", "refuse"] = "wait"
    issues_per_day_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 1_000
    rule: Annotated[tuple[Rule, ...], Meta(max_length=RULES_MAX)] = ()

    def decide(self, facts: RequestFacts) -> Rule:
        """The rule for an application; one that was made for it if none fits."""
        return next((rule for rule in self.rule if rule.fits(facts)), Rule(then=self.otherwise))


def load_policy(directory: Path) -> Policy:
    """The policy of the CA in ``directory``; without a file everybody waits. ``AuthorityError`` for a faulty one."""
    path = directory / FILE
    if not path.exists():
        return Policy()
    try:
        policy = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Policy)
        for rule in policy.rule:
            check_attributes(rule.attributes)
    except (OSError, ValueError, RecursionError, InvalidCertificate) as error:
        raise AuthorityError(f"{path}: {error}") from None
    for number, rule in enumerate(policy.rule, 1):
        if rule.then == "issue" and not (rule.roles and MARKET_ROLES.issuperset(rule.roles)):
            wanted = ", ".join(sorted(MARKET_ROLES))
            raise AuthorityError(f"{path}: rule {number}: a rule that issues names its roles, among {wanted}")
    return policy
