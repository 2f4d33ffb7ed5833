"""Merchants and stores, as administrators keep them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.exceptions import IntegrityError

from server.kit.audit import Actor, record
from server.kit.clock import Clock
from server.kit.db import fetch, transaction
from server.kit.paging import PAGE_MAX, Page, cursor_number, encode_cursor
from server.merchants.acceptors import Acceptors
from server.merchants.errors import (
    MerchantCategoryUnknown,
    MerchantExists,
    MerchantNotFound,
    StoreExists,
    StoreNotFound,
)
from server.merchants.invitations import Invitations
from server.merchants.models import Merchant, Store
from server.merchants.standing import Standings
from server.merchants.views import InvitationIssued, MerchantView, StoreView
from server.people import city_lists


class Registry:
    """Creates merchants and stores, suspends and closes them."""

    def __init__(self, *, clock: Clock, acceptors: Acceptors, invitations: Invitations, standings: Standings) -> None:
        self._clock = clock
        self._acceptors = acceptors
        self._invitations = invitations
        self._standings = standings

    async def create_merchant(
        self, *, name: str, owner_name: str, actor: Actor, request_id: str, licence_number: str | None = None,
        category: str | None = None,
    ) -> tuple[MerchantView, InvitationIssued]:  # fmt: skip
        """A new merchant and its first owner's invitation. MerchantExists when the licence number is registered;
        MerchantCategoryUnknown for a category that is not listed."""
        await _check_category(category)
        at = self._clock.now()
        try:
            async with transaction() as tx:
                merchant = await Merchant.create(
                    using_db=tx, name=name, licence_number=licence_number, category=category, created_at=at
                )
                owner = await self._invitations.draw(
                    tx,
                    merchant_id=merchant.id,
                    store_id=None,
                    role="owner",
                    display_name=owner_name,
                    invited_by_staff_id=None,
                    at=at,
                )
                await _record(tx, "merchant.create", merchant, None, at, actor, request_id)
                await self._acceptors.announce(tx, "merchant", merchant.id, at)
        except IntegrityError as clash:
            if licence_number is not None and await Merchant.exists(licence_number=licence_number):
                raise MerchantExists(field="licence_number") from clash
            raise
        await self._acceptors.settle_soon("merchant", merchant.id)
        return _merchant_view(merchant), owner

    async def invite_owner(
        self, merchant_id: int, *, owner_name: str, actor: Actor, request_id: str
    ) -> InvitationIssued:
        """Another owner's invitation, for when the first one was lost."""
        at = self._clock.now()
        async with transaction() as tx:
            merchant = await _merchant_locked(tx, merchant_id)
            owner = await self._invitations.draw(
                tx,
                merchant_id=merchant.id,
                store_id=None,
                role="owner",
                display_name=owner_name,
                invited_by_staff_id=None,
                at=at,
            )
            await _record(
                tx,
                "merchant.invite_owner",
                merchant,
                None,
                at,
                actor,
                request_id,
                after={"role": "owner", "expires_at": owner.expires_at.isoformat()},
            )
        return owner

    async def create_store(self, merchant_id: int, *, town: str, name: str, actor: Actor, request_id: str) -> StoreView:
        """A new open store. MerchantNotFound; StoreExists when the merchant has one of that name."""
        at = self._clock.now()
        try:
            async with transaction() as tx:
                merchant = await _merchant_locked(tx, merchant_id)
                store = await Store.create(using_db=tx, merchant_id=merchant.id, town=town, name=name, created_at=at)
                await _record(tx, "store.create", store, None, at, actor, request_id)
                await self._acceptors.announce(tx, "store", store.id, at)
        except IntegrityError as clash:
            if await Store.exists(merchant_id=merchant_id, name=name):
                raise StoreExists(field="name") from clash
            raise
        await self._acceptors.settle_soon("store", store.id)
        return store_view(store)

    async def suspend_merchant(self, merchant_id: int, *, reason: str, actor: Actor, request_id: str) -> MerchantView:
        """No new verification or redemption from now on; reads and replays stay. Idempotent."""
        return await self._set_merchant(merchant_id, "suspended", reason, "merchant.suspend", actor, request_id)

    async def reopen_merchant(self, merchant_id: int, *, reason: str, actor: Actor, request_id: str) -> MerchantView:
        """Undo a suspension. Idempotent."""
        return await self._set_merchant(merchant_id, "active", reason, "merchant.reopen", actor, request_id)

    async def categorise(
        self, merchant_id: int, *, category: str | None, actor: Actor, request_id: str
    ) -> MerchantView:
        """Say what kind of business a merchant is; what was redeemed before stays as it was told. Idempotent.
        MerchantNotFound; MerchantCategoryUnknown for a category that is not listed."""
        await _check_category(category)
        async with transaction() as tx:
            merchant = await _merchant_locked(tx, merchant_id)
            if merchant.category != category:
                before = _merchant_facts(merchant)
                merchant.category = category
                await merchant.save(using_db=tx, update_fields=["category"])
                await _record(tx, "merchant.categorise", merchant, before, self._clock.now(), actor, request_id)
        return await self.merchant(merchant_id)

    async def close_store(self, store_id: int, *, actor: Actor, request_id: str) -> StoreView:
        """No new session, verification or redemption there from now on. Idempotent."""
        return await self._set_store(store_id, "closed", "store.close", actor, request_id)

    async def reopen_store(self, store_id: int, *, actor: Actor, request_id: str) -> StoreView:
        """Undo a closing. Idempotent."""
        return await self._set_store(store_id, "open", "store.reopen", actor, request_id)

    async def merchant(self, merchant_id: int) -> MerchantView:
        """One merchant with its stores. MerchantNotFound."""
        merchant = await Merchant.get_or_none(id=merchant_id)
        if merchant is None:
            raise MerchantNotFound
        stores = await Store.filter(merchant_id=merchant_id).order_by("id")
        return _merchant_view(merchant, stores)

    async def merchants(self, *, cursor: str | None = None, limit: int = 50) -> Page[MerchantView]:
        """Merchants in order of registration, a page at a time, with their stores."""
        after = cursor_number(cursor) or 0
        limit = min(limit, PAGE_MAX)
        rows = await Merchant.filter(id__gt=after).order_by("id").limit(limit + 1)
        shown = rows[:limit]
        stores = await Store.filter(merchant_id__in=[m.id for m in shown]).order_by("id")
        items = [_merchant_view(m, [s for s in stores if s.merchant_id == m.id]) for m in shown]
        return Page(items=items, next_cursor=encode_cursor(shown[-1].id) if len(rows) > limit else None)

    async def categories(self) -> dict[str, str]:
        """Name by code of the city's list, in its order."""
        return await city_lists.merchant_categories()

    async def _set_merchant(
        self, merchant_id: int, status: str, reason: str, action: str, actor: Actor, request_id: str
    ) -> MerchantView:
        at = self._clock.now()
        async with transaction() as tx:
            merchant = await _merchant_locked(tx, merchant_id)
            if merchant.status != status:
                before = _merchant_facts(merchant)
                merchant.status, merchant.status_reason = status, reason
                merchant.version += 1
                await merchant.save(using_db=tx, update_fields=["status", "status_reason", "version"])
                await _record(tx, action, merchant, before, at, actor, request_id)
                await self._acceptors.announce(tx, "merchant", merchant.id, at)
        self._standings.forget()
        await self._acceptors.settle("merchant", merchant_id)
        return await self.merchant(merchant_id)

    async def _set_store(self, store_id: int, status: str, action: str, actor: Actor, request_id: str) -> StoreView:
        at = self._clock.now()
        async with transaction() as tx:
            store = await Store.filter(id=store_id).using_db(tx).select_for_update(no_key=True).first()
            if store is None:
                raise StoreNotFound
            if store.status != status:
                before = _store_facts(store)
                store.status = status
                store.version += 1
                await store.save(using_db=tx, update_fields=["status", "version"])
                await _record(tx, action, store, before, at, actor, request_id)
                await self._acceptors.announce(tx, "store", store.id, at)
        self._standings.forget()
        await self._acceptors.settle("store", store_id)
        return store_view(store)


async def _merchant_locked(tx: BaseDBAsyncClient, merchant_id: int) -> Merchant:
    merchant = await Merchant.filter(id=merchant_id).using_db(tx).select_for_update(no_key=True).first()
    if merchant is None:
        raise MerchantNotFound
    return merchant


async def _check_category(category: str | None) -> None:
    if category is not None and category not in await city_lists.merchant_categories():
        raise MerchantCategoryUnknown(field="category")


async def categories_of(merchant_ids: Collection[int], tx: BaseDBAsyncClient | None = None) -> dict[int, str]:
    """The category of each merchant that has one."""
    rows = await fetch(
        "SELECT id, category FROM merchant WHERE id = ANY($1::bigint[]) AND category IS NOT NULL",
        list(merchant_ids),
        using=tx,
    )
    return {row["id"]: row["category"] for row in rows}


async def _record(
    tx: BaseDBAsyncClient, action: str, thing: Merchant | Store, before: dict[str, object] | None, at: datetime,
    actor: Actor, request_id: str, *, after: dict[str, object] | None = None,
) -> None:  # fmt: skip
    """Who changed a merchant or a store, and how; `after`, if it is not how the thing stands now."""
    facts = _merchant_facts(thing) if isinstance(thing, Merchant) else _store_facts(thing)
    await record(
        tx, actor=actor, action=action, object_kind="merchant" if isinstance(thing, Merchant) else "store",
        object_id=str(thing.id), before=before, after=after or facts, at=at, request_id=request_id,
    )  # fmt: skip


def _merchant_facts(merchant: Merchant) -> dict[str, object]:
    return {
        "name": merchant.name,
        "licence_number": merchant.licence_number,
        "category": merchant.category,
        "status": merchant.status,
        "reason": merchant.status_reason,
    }


def _store_facts(store: Store) -> dict[str, object]:
    return {
        "merchant_id": str(store.merchant_id),
        "town": store.town,
        "name": store.name,
        "status": store.status,
    }


def store_view(store: Store) -> StoreView:
    """A store as it may be shown."""
    return StoreView(store.id, store.merchant_id, store.town, store.name, store.status)


def _merchant_view(merchant: Merchant, stores: list[Store] | None = None) -> MerchantView:
    return MerchantView(
        id=merchant.id,
        name=merchant.name,
        licence_number=merchant.licence_number,
        category=merchant.category,
        status=merchant.status,
        status_reason=merchant.status_reason,
        created_at=merchant.created_at,
        stores=tuple(store_view(s) for s in stores or ()),
    )
