"""Loads the sample city through the services, as an administrator would."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import msgspec

from server.config import Settings, secret_bytes
from server.incentives.commands import CampaignDraft, Signed, TemplateDraft
from server.incentives.facts import record_facts
from server.incentives.limits import Limit
from server.incentives.rules import Rule
from server.incentives.rules.language import FactTrigger, GivePoints
from server.kit.audit import Actor
from server.kit.caller import Caller
from server.kit.crypto import BlindIndex
from server.people import city_lists
from server.people.attribute_import import AttributeImport, ImportReport, Told
from server.people.models import Administrator
from server.sandbox.city import City, SampleCampaign, SampleMerchant, SampleTemplate, sample_city
from server.sandbox.environment import ADMIN_PASSWORD, ADMINISTRATORS
from server.sandbox.wechat.control import StandInControl
from server.services import Services, close_services, open_services

REQUEST = "load-sample"
SCALE_FROM = date(2026, 1, 1)


class CityHalfLoaded(RuntimeError):
    """An earlier load was broken off; begin again with an empty database."""


class Loaded(msgspec.Struct):
    """What stands in the database now. `fresh` is false when it stood there before."""

    fresh: bool
    residents: int
    merchants: int
    campaigns: int
    templates: int


async def load_city(settings: Settings, *, seed: int, residents: int, offers: bool = True) -> Loaded:
    """Loads the city once; later calls only tell the stand-in's name-and-ID check who lives there. Without `offers` it
    has no campaigns and coupon templates. Raises `CityHalfLoaded`."""
    city = sample_city(seed, residents=residents)
    if not offers:
        city = replace(city, campaigns=(), templates=())
    control = StandInControl(settings.wechat_api_base)
    services = await open_services(settings)
    try:
        await control.register_people(city.people())
        await city_lists.set_lists(lists_of(city))
        known = {row.username for row in await Administrator.all()}
        fresh = not known
        if fresh:
            await _load(services, control, city)
        elif not {account.username for account in ADMINISTRATORS} <= known:
            raise CityHalfLoaded("the sample city stands half; begin again with an empty folder")
        await tell_attributes(services, city)
        return Loaded(fresh, len(city.residents), len(city.merchants), len(city.campaigns), len(city.templates))
    finally:
        await control.aclose()
        await close_services(services)


def lists_of(city: City) -> city_lists.CityLists:
    """The city's bands, towns, interests and kinds of merchants as `chengxin set-lists` would take them."""
    bands = [city_lists.BandEntry(code, name, rank) for rank, (code, name) in enumerate(city.bands, 1)]
    return city_lists.CityLists(
        city_lists.ScaleEntry(1, SCALE_FROM, bands),
        list(city.towns),
        [city_lists.InterestEntry(code, name) for code, name in city.interests],
        [city_lists.CategoryEntry(code, name) for code, name in city.categories],
    )


async def tell_attributes(services: Services, city: City) -> ImportReport:
    """Band and town of the city's people as of today, as `chengxin import-bands` would; again after more have enrolled.
    Who is not enrolled leaves no trace."""
    importer = AttributeImport(
        clock=services.clock, index=BlindIndex(secret_bytes(services.settings.index_key)), record_facts=record_facts
    )
    told = (Told(line, one.id_number, one.band, one.town) for line, one in enumerate(city.residents, 2))
    return await importer.run(told, source="示例城市", as_of=services.clock.today())


async def _load(services: Services, control: StandInControl, city: City) -> None:
    *first, last = ADMINISTRATORS
    ids = {}
    for account in first:
        made = await services.administrators.create_admin(
            account.username, ADMIN_PASSWORD, roles=[account.role], totp_secret=account.totp_secret
        )
        ids[account.username] = made.id
    merchant_ids = {
        merchant.key: await _merchant(services, control, merchant, ids["merchants"]) for merchant in city.merchants
    }
    editor, approver = Signed(ids["editor"], REQUEST), Signed(ids["approver"], REQUEST)
    now = services.clock.now()
    for sample in city.campaigns:
        campaign = await services.campaigns.create(campaign_draft(sample, now), editor)
        await services.campaigns.submit(campaign.row.id, editor)
        await services.campaigns.approve(campaign.row.id, approver)
    for offer in city.templates:
        template = await services.templates.create(template_draft(offer, merchant_ids, now), editor)
        await services.templates.submit(template.row.id, editor)
        await services.templates.approve(template.row.id, approver)
    # The last account says that everything before it stands.
    await services.administrators.create_admin(
        last.username, ADMIN_PASSWORD, roles=[last.role], totp_secret=last.totp_secret
    )


def campaign_draft(sample: SampleCampaign, now: datetime) -> CampaignDraft:
    """A sample campaign as its editor writes it."""
    return CampaignDraft(
        title=sample.title,
        document=sample.document,
        rule=Rule(trigger=FactTrigger(fact=sample.trigger), effect=GivePoints(points=sample.points)),
        budget_points=sample.budget_points,
        limits=(Limit(sample.per_person, "earn"),),
        validity_months=sample.validity_months,
        starts_at=now + timedelta(days=sample.starts_in_days),
        ends_at=now + timedelta(days=sample.ends_in_days),
    )


def template_draft(sample: SampleTemplate, merchant_ids: dict[str, int], now: datetime) -> TemplateDraft:
    """A sample template as its editor writes it; `merchant_ids` by key."""
    return TemplateDraft(
        title=sample.title,
        document=sample.document,
        kind=sample.kind,
        stock=sample.stock,
        face_value_fen=sample.face_value_fen,
        pay_bp=sample.pay_bp,
        cap_fen=sample.cap_fen,
        threshold_fen=sample.threshold_fen,
        platform_bp=sample.platform_bp,
        sponsor_bp=sample.sponsor_bp,
        price_points=sample.price_points,
        limits=(Limit(sample.per_person, "issue"),),
        valid_days=sample.valid_days,
        windows=sample.windows,
        merchants=tuple(merchant_ids[key] for key in sample.merchants),
        stacking_group=sample.stacking_group,
        goods_name=sample.goods_name,
        goods_quantity=sample.goods_quantity,
        notice=sample.notice,
        starts_at=now + timedelta(days=sample.starts_in_days),
        ends_at=now + timedelta(days=sample.ends_in_days),
    )


async def _merchant(services: Services, control: StandInControl, sample: SampleMerchant, admin_id: int) -> int:
    """A merchant with its stores; the owner joins by invitation and invites the others."""
    actor = Actor("admin", str(admin_id))
    registry, staff = services.merchants.registry, services.merchants.staff
    owner, *others = sample.staff
    merchant, invitation = await registry.create_merchant(
        name=sample.name, owner_name=owner.name, actor=actor, request_id=REQUEST, licence_number=sample.licence_number,
        category=sample.kind,
    )  # fmt: skip
    stores = {}
    for store in sample.stores:
        stores[store.key] = (
            await registry.create_store(merchant.id, town=store.town, name=store.name, actor=actor, request_id=REQUEST)
        ).id
    joined = await services.merchants.join(await control.login_code(owner.openid), invitation.code, request_id=REQUEST)
    as_owner = Caller("staff", merchant_id=merchant.id, staff_id=joined.id, roles=frozenset({"owner"}))
    for other in others:
        issued = await staff.invite(
            as_owner,
            role=other.role,
            display_name=other.name,
            store_id=stores[other.store] if other.store else None,
            request_id=REQUEST,
        )
        await services.merchants.join(await control.login_code(other.openid), issued.code, request_id=REQUEST)
    return merchant.id
