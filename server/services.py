"""The one place where the parts of the house are wired together.

Every process opens its `Services` once (`open_services` for HTTP, `open_worker` for jobs) and closes them last. Rooms
get what they need as constructor arguments; nothing below this file looks anything up.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog

from server.config import Settings, UnsafeSettings, secret_bytes
from server.expiry.points import PointsExpiry
from server.incentives import dates as date_calls
from server.incentives.asked import AskedFacts
from server.incentives.awards import AwardService
from server.incentives.budgets import BudgetService
from server.incentives.campaigns import CampaignService
from server.incentives.codes import batches as voucher_batches
from server.incentives.codes import exchange as voucher_exchange
from server.incentives.codes.batches import VoucherBatches
from server.incentives.codes.cover import StockCover
from server.incentives.codes.exchange import VoucherExchange
from server.incentives.codes.exports import VoucherExports
from server.incentives.coupons import CouponService
from server.incentives.dates import DateCalls
from server.incentives.dry_runs import runs as dry_run_jobs
from server.incentives.dry_runs.runs import DryRuns
from server.incentives.emergency import KillSwitch
from server.incentives.errors import TemplateNotFound
from server.incentives.experiments.report import UpliftReports
from server.incentives.experiments.withholding import Withholding
from server.incentives.explanations import ExplanationService
from server.incentives.facts import record_fact
from server.incentives.for_me import ResidentCampaigns
from server.incentives.forgetting import FactForgetting
from server.incentives.grants import jobs as grant_jobs
from server.incentives.grants.desk import GrantDesk
from server.incentives.grants.jobs import GrantJobs
from server.incentives.grants.lists import RecipientLists
from server.incentives.handing import Handing
from server.incentives.intake import batches as fact_batches
from server.incentives.intake.batches import FactBatches
from server.incentives.intake.files import FactFiles
from server.incentives.lottery.drawing import DrawService
from server.incentives.lottery.entries import EntryService
from server.incentives.lottery.reading import LotteryReader
from server.incentives.lottery.service import LotteryService
from server.incentives.segments.service import SegmentService
from server.incentives.segments.snapshots import SegmentSnapshots
from server.incentives.shop import Shop
from server.incentives.stock import StockBoard
from server.incentives.templates import TemplateService
from server.incentives.watch import BudgetWatch
from server.kit.clock import Clock
from server.kit.counts import WindowCounts
from server.kit.crypto import BlindIndex, Envelope, Keyring
from server.kit.db import close_house, open_house
from server.kit.jobs import Handler
from server.kit.pace import Pace
from server.kit.redis import Cache
from server.kit.tasks import end
from server.ledger_office.adjustments import AdjustmentService
from server.ledger_office.desk import WalletDesk
from server.merchants.service import MerchantService
from server.notices.service import NoticeService
from server.people.administrators import AdministratorService
from server.people.choices import ChoiceService
from server.people.realname import HttpRealNameVerifier
from server.people.residents import ResidentService
from server.people.sessions import SessionService
from server.people.tokens import TokenKeys
from server.people.wechat.client import WeChat
from server.scenes.counter import CounterService
from server.scenes.news import News
from server.scenes.showing import ShowingService
from server.scenes.tickets import TicketOffice
from wallet import Vault

CLOCK_FOLLOW_S = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Services:
    """Everything one process works with."""

    settings: Settings
    clock: Clock
    cache: Cache
    counts: WindowCounts
    vault: Vault
    wechat: WeChat
    real_name: HttpRealNameVerifier
    sessions: SessionService
    residents: ResidentService
    choices: ChoiceService
    administrators: AdministratorService
    merchants: MerchantService
    budgets: BudgetService
    campaigns: CampaignService
    templates: TemplateService
    coupons: CouponService
    awards: AwardService
    explanations: ExplanationService
    uplift: UpliftReports
    dry_runs: DryRuns
    date_calls: DateCalls
    fact_batches: FactBatches
    fact_files: FactFiles
    fact_forgetting: FactForgetting
    resident_campaigns: ResidentCampaigns
    shop: Shop
    kill_switch: KillSwitch
    budget_watch: BudgetWatch
    grants: GrantDesk
    grant_jobs: GrantJobs
    recipient_lists: RecipientLists
    segments: SegmentService
    segment_snapshots: SegmentSnapshots
    stock: StockBoard
    lotteries: LotteryService
    lottery_entries: EntryService
    lottery_reader: LotteryReader
    lottery_draws: DrawService
    voucher_batches: VoucherBatches
    voucher_exports: VoucherExports
    voucher_exchange: VoucherExchange
    expiry: PointsExpiry
    notices: NoticeService
    wallet_desk: WalletDesk
    adjustments: AdjustmentService
    showing: ShowingService
    news: News
    counter: CounterService
    job_handlers: dict[str, Handler]
    background: tuple[asyncio.Task[None], ...]


async def open_services(settings: Settings) -> Services:
    """Opens what an HTTP process needs. Raises when the database cannot be reached."""
    vault = await Vault.connect(
        settings.database_url,
        role="app",
        first_lane=settings.worker_index * settings.lanes,
        lanes=settings.lanes,
        queue=settings.lane_queue,
        batch=settings.lane_batch,
        latency_ms=settings.lane_latency_ms,
        budget_slots=settings.budget_slots,
    )
    services = await _wire(settings, settings.database_url, vault)
    services.news.open()
    return services


async def _refuse_moved_clock(settings: Settings, vault: Vault) -> None:
    """A production start refuses a database whose clock can be moved (D11)."""
    if settings.environment == "production" and not await vault.clock_is_plain():
        raise UnsafeSettings("vault.now() is not the plain clock: this database belongs to a sandbox")


async def open_worker(settings: Settings) -> Services:
    """Opens what the background process needs: the worker's role, whose vault posts earnings and expiries."""
    dsn = settings.worker_database_url
    vault = await Vault.connect(
        dsn,
        role="worker",
        queue=settings.lane_queue,
        batch=settings.lane_batch,
        latency_ms=settings.lane_latency_ms,
        budget_slots=settings.budget_slots,
    )
    return await _wire(settings, dsn, vault)


def release_waiters(services: Services) -> None:
    """Answers everybody who only waits for news, now; for a process that is about to stop."""
    services.news.release()


async def close_services(services: Services) -> None:
    """Closes everything; what was taken in is finished first."""
    await end(services.background)
    await services.news.close()
    await services.wechat.aclose()
    await services.real_name.aclose()
    await services.vault.close()
    await close_house()
    await services.cache.close()


async def _wire(settings: Settings, house_dsn: str, vault: Vault) -> Services:
    await _refuse_moved_clock(settings, vault)
    clock = Clock(settings.city_zone)
    clock.follow(await vault.now())
    await open_house(house_dsn, pool_max=settings.house_pool)
    cache = Cache(settings.redis_url)
    await cache.ping()
    counts = WindowCounts(cache)
    envelope, index = Envelope(Keyring.parse(settings.data_keys)), BlindIndex(secret_bytes(settings.index_key))
    credential_key = secret_bytes(settings.credential_key)
    keys = TokenKeys.of(settings.signing_keys)
    wechat = WeChat(settings.wechat_appid, settings.wechat_secret, settings.wechat_api_base, cache, clock)
    real_name = HttpRealNameVerifier(settings.realname_base, settings.realname_key)
    sessions = SessionService(
        clock=clock,
        wechat=wechat,
        wallet=vault,
        envelope=envelope,
        index=index,
        keys=keys,
        access_ttl_s=settings.access_ttl_s,
        refresh_ttl_s=settings.refresh_ttl_s,
        record_fact=record_fact,
        asks_for=AskedFacts(clock=clock).asks,
    )
    campaigns, templates = CampaignService(vault=vault, clock=clock), TemplateService(vault=vault, clock=clock)
    news, entries = News(vault, cache), EntryService(clock=clock, index=index)
    job_key = secret_bytes(settings.job_key)
    grants = GrantDesk(
        vault=vault, clock=clock, job_key=job_key, released={voucher_exchange.SOURCE: voucher_exchange.release}
    )
    lists = RecipientLists(clock=clock, kept=timedelta(days=settings.recipient_list_days))
    coupons = CouponService(vault=vault, templates=templates)
    vouchers = VoucherBatches(clock=clock, envelope=envelope, index=index, cover=StockCover(templates=templates))
    pace = Pace(per_second=settings.facts_per_second, share=settings.expiry_share)
    nightly = Pace(per_second=settings.expiry_per_second, share=settings.expiry_share)
    calls, facts = DateCalls(clock=clock, pace=pace), FactBatches(lists=lists, clock=clock, pace=pace)
    budgets = BudgetService(vault=vault, clock=clock)
    withholding = Withholding(clock=clock, index=index)
    dry_runs = DryRuns(clock=clock, budgets=budgets, withholding=withholding)
    draws = DrawService(clock=clock, envelope=envelope, owe=grants.owe)
    segments = SegmentService(clock=clock, small_cell=settings.small_cell)
    snapshots = SegmentSnapshots(clock=clock, keep_days=settings.segment_keep_days, small_cell=settings.small_cell)
    jobs = GrantJobs(
        desk=grants,
        lists=lists,
        segments=segments,
        snapshots=snapshots,
        small_cell=settings.small_cell,
        budgets=budgets,
        clock=clock,
    )
    return Services(
        settings=settings,
        clock=clock,
        cache=cache,
        counts=counts,
        vault=vault,
        wechat=wechat,
        real_name=real_name,
        sessions=sessions,
        residents=ResidentService(
            clock=clock,
            wechat=wechat,
            real_name=real_name,
            wallet=vault,
            record_fact=record_fact,
            envelope=envelope,
            index=index,
        ),
        choices=ChoiceService(clock=clock),
        administrators=AdministratorService(clock=clock, sessions=sessions, envelope=envelope, index=index),
        merchants=MerchantService(
            clock=clock,
            vault=vault,
            sessions=sessions,
            envelope=envelope,
            index=index,
            keys=keys,
            access_ttl_s=settings.access_ttl_s,
        ),
        budgets=budgets,
        campaigns=campaigns,
        templates=templates,
        coupons=coupons,
        awards=AwardService(
            vault=vault,
            clock=clock,
            job_key=job_key,
            handing=Handing(clock=clock, owe=grants.owe, enter=entries.enter),
            withholding=withholding,
        ),
        explanations=ExplanationService(clock=clock),
        dry_runs=dry_runs,
        uplift=UpliftReports(clock=clock, small_cell=settings.small_cell),
        date_calls=calls,
        fact_batches=facts,
        fact_files=FactFiles(batches=facts, clock=clock, index=index),
        fact_forgetting=FactForgetting(clock=clock, months=settings.fact_keep_months, pace=nightly),
        resident_campaigns=ResidentCampaigns(campaigns=campaigns, vault=vault, clock=clock),
        shop=Shop(templates=templates, vault=vault, clock=clock),
        kill_switch=KillSwitch(campaigns=campaigns, templates=templates, clock=clock),
        budget_watch=BudgetWatch(
            vault=vault,
            clock=clock,
            thresholds=[int(one) for one in settings.budget_alert_percent.split(",") if one],
            ends_after=timedelta(hours=settings.exhausted_ends_after_h),
            end_campaign=campaigns.end_exhausted,
            end_template=templates.end_exhausted,
        ),
        grants=grants,
        grant_jobs=jobs,
        recipient_lists=lists,
        stock=StockBoard(clock),
        lotteries=LotteryService(templates=templates, clock=clock, envelope=envelope),
        lottery_entries=entries,
        lottery_reader=LotteryReader(),
        lottery_draws=draws,
        segments=segments,
        segment_snapshots=snapshots,
        voucher_batches=vouchers,
        voucher_exports=VoucherExports(batches=vouchers, clock=clock),
        voucher_exchange=VoucherExchange(
            desk=grants,
            coupons=coupons,
            clock=clock,
            envelope=envelope,
            index=index,
            counts=counts,
            wrong_per_resident=settings.voucher_wrong_per_minute,
            wrong_per_address=settings.voucher_wrong_per_minute_address,
        ),
        expiry=PointsExpiry(vault=vault, clock=clock, job_key=job_key, pace=nightly),
        notices=_notices(settings, clock, vault, wechat, envelope, templates),
        wallet_desk=WalletDesk(vault=vault, clock=clock),
        adjustments=AdjustmentService(vault=vault, clock=clock, job_key=job_key),
        showing=ShowingService(
            vault=vault,
            clock=clock,
            credential_key=credential_key,
            code_prefix=settings.code_prefix,
            ttl_s=settings.credential_ttl_s,
        ),
        news=news,
        counter=CounterService(
            vault=vault,
            clock=clock,
            benefits=templates,
            tickets=TicketOffice(Keyring.parse(settings.ticket_keys)),
            news=news,
            failures=counts,
            credential_key=credential_key,
            code_prefix=settings.code_prefix,
            ticket_ttl_s=settings.ticket_ttl_s,
        ),
        job_handlers={
            grant_jobs.KIND: jobs.walk,
            voucher_batches.KIND: vouchers.make,
            dry_run_jobs.KIND: dry_runs.walk,
            date_calls.KIND: calls.walk,
            fact_batches.KIND: facts.walk,
        }
        | draws.handlers(),
        background=(asyncio.create_task(_follow_clock(clock, vault)), asyncio.create_task(counts.run())),
    )


def _notices(
    settings: Settings, clock: Clock, vault: Vault, wechat: WeChat, envelope: Envelope, templates: TemplateService
) -> NoticeService:
    async def coupon_title(template_id: int) -> str:
        try:
            return (await templates.benefit(template_id)).title
        except TemplateNotFound:
            return ""

    return NoticeService(
        clock=clock,
        vault=vault,
        wechat=wechat,
        envelope=envelope,
        coupon_title=coupon_title,
        points_days=settings.notice_points_days,
        coupon_days=settings.notice_coupon_days,
        points_message=settings.notice_points_message,
        coupon_message=settings.notice_coupon_message,
        message_page=settings.notice_page,
        message_hours=(settings.notice_from_hour, settings.notice_until_hour),
        messages_per_second=settings.notice_per_second,
        pace=Pace(per_second=settings.expiry_per_second, share=settings.expiry_share),
    )


async def _follow_clock(clock: Clock, vault: Vault) -> None:
    """Keeps this process on the vault's clock, also when a sandbox moves it (D11)."""
    while True:
        await asyncio.sleep(CLOCK_FOLLOW_S)
        try:
            clock.follow(await vault.now())
        except Exception as problem:  # asked again, whatever the database said
            log.warning("clock_not_followed", problem=type(problem).__name__)
