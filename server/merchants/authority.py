"""What a staff member may do in the back office of the merchant.

owner    everything, in all stores
manager  invites and revokes cashiers and auditors, enrols and revokes terminals, in the stores they may work in
cashier  verifies and redeems
auditor  reads
"""

from __future__ import annotations

from dataclasses import dataclass

from tortoise.backends.base.client import BaseDBAsyncClient

from server.kit.caller import Caller
from server.merchants.errors import MerchantSuspended, RoleTooLow, StaffRevoked
from server.merchants.models import Merchant, StaffMember, StaffStore

ROLES = ("owner", "manager", "cashier", "auditor")
_RANK = {"owner": 3, "manager": 2, "cashier": 1, "auditor": 1}
OVERSEERS = frozenset({"owner", "manager"})
READERS = frozenset({"owner", "manager", "auditor"})


@dataclass(frozen=True)
class Authority:
    """One staff member's rights, read fresh."""

    staff_id: int
    merchant_id: int
    role: str
    all_stores: bool
    store_ids: frozenset[int]

    def covers(self, store_id: int | None) -> bool:
        """Whether they act for this store; None means all stores of the merchant."""
        return self.all_stores or (store_id is not None and store_id in self.store_ids)

    def outranks(self, role: str) -> bool:
        """Whether they may give or take away this role: owners any, others only lower ones."""
        return self.role == "owner" or _RANK[self.role] > _RANK[role]


async def authority_of(
    caller: Caller, roles: frozenset[str], *, tx: BaseDBAsyncClient | None = None, active_merchant: bool = False
) -> Authority:
    """The caller's rights; StaffRevoked, RoleTooLow, or MerchantSuspended when `active_merchant` is asked for."""
    staff = await StaffMember.get_or_none(id=caller.staff_id or 0, using_db=tx)
    if staff is None or staff.status != "active":
        raise StaffRevoked
    if staff.role not in roles:
        raise RoleTooLow
    if active_merchant:
        merchant = await Merchant.get(id=staff.merchant_id, using_db=tx)
        if merchant.status != "active":
            raise MerchantSuspended
    stores = await StaffStore.filter(staff_id=staff.id).using_db(tx).values_list("store_id", flat=True)
    return Authority(staff.id, staff.merchant_id, staff.role, staff.all_stores, frozenset(int(str(s)) for s in stores))
