"""Campaigns, coupons and all the ways to them: each sub-room wired by itself, from what it stands on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from server.incentives import dates as date_calls
from server.incentives import handing
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
from server.incentives.experiments.report import UpliftReports
from server.incentives.experiments.withholding import Withholding
from server.incentives.explanations import ExplanationService
from server.incentives.for_me import ResidentCampaigns
from server.incentives.forgetting import FactForgetting
from server.incentives.free_minutes import FreeMinutesReader
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
from server.incentives.promises import Promises
from server.incentives.segments.service import SegmentService
from server.incentives.segments.snapshots import SegmentSnapshots
from server.incentives.shop import Shop
from server.incentives.stock import StockBoard
from server.incentives.templates import TemplateService
from server.incentives.watch import BudgetWatch
from server.kit.jobs import Handler
from server.kit.pace import Pace
from server.services.ground import Ground


@dataclass(frozen=True, kw_only=True)
class Campaigns:
    """Campaigns and templates, budgets, and what residents are shown of them."""

    budgets: BudgetService
    campaigns: CampaignService
    templates: TemplateService
    coupons: CouponService
    explanations: ExplanationService
    free_minutes: FreeMinutesReader
    resident_campaigns: ResidentCampaigns
    shop: Shop
    stock: StockBoard
    kill_switch: KillSwitch
    budget_watch: BudgetWatch


@dataclass(frozen=True, kw_only=True)
class Giving:
    """Coupons that are given: owed at the desk, to lists and segments, for codes, as prizes."""

    grants: GrantDesk
    grant_jobs: GrantJobs
    recipient_lists: RecipientLists
    segments: SegmentService
    segment_snapshots: SegmentSnapshots
    voucher_batches: VoucherBatches
    voucher_exports: VoucherExports
    voucher_exchange: VoucherExchange
    lotteries: LotteryService
    lottery_entries: EntryService
    lottery_reader: LotteryReader
    lottery_draws: DrawService


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts that come in, what is given for them, and what they are read for besides."""

    awards: AwardService
    date_calls: DateCalls
    fact_batches: FactBatches
    fact_files: FactFiles
    fact_forgetting: FactForgetting
    uplift: UpliftReports
    dry_runs: DryRuns


def wire_campaigns(ground: Ground) -> Campaigns:
    """The lives of campaigns and templates."""
    vault, clock, settings = ground.vault, ground.clock, ground.settings
    campaigns, templates = CampaignService(vault=vault, clock=clock), TemplateService(vault=vault, clock=clock)
    return Campaigns(
        budgets=BudgetService(vault=vault, clock=clock),
        campaigns=campaigns,
        templates=templates,
        coupons=CouponService(vault=vault, templates=templates),
        explanations=ExplanationService(clock=clock),
        free_minutes=FreeMinutesReader(clock=clock),
        resident_campaigns=ResidentCampaigns(campaigns=campaigns, vault=vault, clock=clock),
        shop=Shop(templates=templates, vault=vault, clock=clock),
        stock=StockBoard(vault=vault, clock=clock),
        kill_switch=KillSwitch(campaigns=campaigns, templates=templates, clock=clock),
        budget_watch=BudgetWatch(
            vault=vault,
            clock=clock,
            thresholds=[int(one) for one in settings.budget_alert_percent.split(",") if one],
            ends_after=timedelta(hours=settings.exhausted_ends_after_h),
            end_campaign=campaigns.end_exhausted,
            end_template=templates.end_exhausted,
        ),
    )


def wire_giving(ground: Ground, campaigns: Campaigns) -> Giving:
    """All ways to a coupon but the claim."""
    clock, envelope, index, settings = ground.clock, ground.envelope, ground.index, ground.settings
    templates, small_cell = campaigns.templates, settings.small_cell
    desk = GrantDesk(
        vault=ground.vault,
        clock=clock,
        job_key=ground.job_key,
        settled={voucher_exchange.SOURCE: voucher_exchange.release, handing.SOURCE: handing.settle},
    )
    lists = RecipientLists(clock=clock, kept=timedelta(days=settings.recipient_list_days))
    segments = SegmentService(clock=clock, small_cell=small_cell)
    snapshots = SegmentSnapshots(clock=clock, keep_days=settings.segment_keep_days, small_cell=small_cell)
    promises = Promises(small_cell=small_cell)
    cover = StockCover(templates=templates, promises=promises)
    vouchers = VoucherBatches(clock=clock, envelope=envelope, index=index, cover=cover)
    return Giving(
        grants=desk,
        grant_jobs=GrantJobs(
            desk=desk,
            lists=lists,
            segments=segments,
            snapshots=snapshots,
            small_cell=small_cell,
            budgets=campaigns.budgets,
            promises=promises,
            clock=clock,
        ),
        recipient_lists=lists,
        segments=segments,
        segment_snapshots=snapshots,
        voucher_batches=vouchers,
        voucher_exports=VoucherExports(batches=vouchers, clock=clock),
        voucher_exchange=VoucherExchange(
            desk=desk,
            coupons=campaigns.coupons,
            clock=clock,
            envelope=envelope,
            index=index,
            counts=ground.counts,
            wrong_per_resident=settings.voucher_wrong_per_minute,
            wrong_per_address=settings.voucher_wrong_per_minute_address,
        ),
        lotteries=LotteryService(templates=templates, promises=promises, clock=clock, envelope=envelope),
        lottery_entries=EntryService(clock=clock, index=index),
        lottery_reader=LotteryReader(),
        lottery_draws=DrawService(clock=clock, envelope=envelope, owe=desk.owe),
    )


def wire_facts(ground: Ground, campaigns: Campaigns, giving: Giving) -> Facts:
    """The intake, and what judges what came in."""
    clock, settings = ground.clock, ground.settings
    pace = Pace(per_second=settings.facts_per_second, share=settings.expiry_share)
    withholding = Withholding(clock=clock, index=ground.index)
    batches = FactBatches(lists=giving.recipient_lists, clock=clock, pace=pace)
    return Facts(
        awards=AwardService(
            vault=ground.vault,
            clock=clock,
            job_key=ground.job_key,
            handing=Handing(clock=clock, owe=giving.grants.owe, enter=giving.lottery_entries.enter),
            withholding=withholding,
        ),
        date_calls=DateCalls(clock=clock, pace=pace),
        fact_batches=batches,
        fact_files=FactFiles(batches=batches, clock=clock, index=ground.index),
        fact_forgetting=FactForgetting(clock=clock, months=settings.fact_keep_months, pace=ground.nightly),
        uplift=UpliftReports(clock=clock, small_cell=settings.small_cell),
        dry_runs=DryRuns(clock=clock, budgets=campaigns.budgets, withholding=withholding),
    )


def jobs_of(giving: Giving, facts: Facts) -> dict[str, Handler]:
    """Who does which kind of job."""
    return {
        grant_jobs.KIND: giving.grant_jobs.walk,
        voucher_batches.KIND: giving.voucher_batches.make,
        dry_run_jobs.KIND: facts.dry_runs.walk,
        date_calls.KIND: facts.date_calls.walk,
        fact_batches.KIND: facts.fact_batches.walk,
    } | giving.lottery_draws.handlers()
