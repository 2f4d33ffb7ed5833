"""Roles of the console and what each may do.

Scopes are what routes ask for; roles are what an account is given. Making and activating are different scopes, and the
database refuses the same person twice on what costs money (D35), even for a role that has both.
"""

from __future__ import annotations

from collections.abc import Iterable

from server.people.errors import RoleUnknown

SCOPES: frozenset[str] = frozenset(
    {
        "campaign.read",
        "campaign.edit",
        "campaign.activate",
        "template.read",
        "template.edit",
        "template.activate",
        "segment.read",
        "segment.edit",
        "lottery.read",
        "lottery.edit",
        "lottery.publish",
        "lottery.beacon",
        "incentive.stop",
        "budget.read",
        "budget.topup",
        "budget.approve",
        "merchant.read",
        "merchant.manage",
        "fact.read",
        "fact.edit",
        "fact.approve",
        "grant.read",
        "grant.edit",
        "grant.approve",
        "code.read",
        "code.edit",
        "code.approve",
        "code.export",
        "audit.read",
        "dead_letter.read",
        "dead_letter.manage",
        "admin.read",
        "admin.manage",
        "wallet.read",
        "ledger.read",
        "ledger.write",
        "ledger.approve",
    }
)

_READS = frozenset(scope for scope in SCOPES if scope.endswith(".read"))
# Who makes rules has no business with one person's wallet (G31).
_PERSONAL = frozenset({"audit.read", "wallet.read", "ledger.read"})

ROLES: dict[str, frozenset[str]] = {
    "director": SCOPES,
    "editor": (_READS - _PERSONAL)
    | {
        "campaign.edit",
        "template.edit",
        "segment.edit",
        "lottery.edit",
        "lottery.beacon",
        "budget.topup",
        "fact.edit",
        "grant.edit",
        "code.edit",
        "code.export",
    },
    "approver": _READS
    | {
        "campaign.activate",
        "template.activate",
        "lottery.publish",
        "lottery.beacon",
        "incentive.stop",
        "budget.approve",
        "fact.approve",
        "grant.approve",
        "code.approve",
        "ledger.approve",
    },
    "merchant_manager": frozenset({"merchant.read", "merchant.manage"}),
    "accountant": frozenset({"wallet.read", "ledger.read", "ledger.write"}),
    "auditor": _READS,
}


def scopes_of(roles: Iterable[str]) -> frozenset[str]:
    """Everything the roles allow together. A role that no longer exists allows nothing."""
    return frozenset().union(*(ROLES.get(role, frozenset()) for role in roles))


def check_roles(roles: Iterable[str]) -> None:
    """Refuse roles that do not exist."""
    if any(role not in ROLES for role in roles):
        raise RoleUnknown(field="roles")
