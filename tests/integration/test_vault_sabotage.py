# ruff: noqa: E501 (the right text stays beside the wrong one)
"""Canaries: each rule of the vault is broken once, in its own function, and somebody must notice.

Who notices is the oracle (an answer or a row that it cannot explain), the teller of the chapter, or a constraint. For
value that moves wrongly check-ledger must notice as well, on its own. A canary that nobody notices is a failure. Each
proof of check-ledger has its canary here; where a constraint makes impossible what the proof looks for, the canary
shows that constraint refusing it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple

import asyncpg
import pytest
import pytest_asyncio

from tests.support.chapters import CHAPTERS, live
from tests.support.databases import Database
from tests.support.deeds import MONTHS_AHEAD
from tests.support.ledger import Ledger, open_ledger
from tests.support.patience import until
from tests.support.sabotage import sabotaged
from wallet.audit import prove
from wallet.proofs import PROOFS


class Canary(NamedTuple):
    """`rule` is broken by writing `wrong` for `right` in `function`; `chapter` meets it; `check` of check-ledger sees it, or
    would if it were not `refused_by` a constraint."""

    rule: str
    function: str
    right: str
    wrong: str
    chapter: str
    check: str = ""
    refused_by: str = ""


#: What no answer and no row that the oracle reads shows: the books alone tell.
BOOKS_ONLY = {
    "counters_are_what_terms_allow", "coupon_came_from_a_claim", "folds_are_the_journal", "hold_is_open_or_ended_once",
    "lots_are_the_entries", "lots_tell_the_change", "redemption_has_its_entry",
}  # fmt: skip
CANARIES = [
    # -- ids
    Canary("ids are old after 48 hours", "precheck", "interval '48 hours'", "interval '49 hours'", "naming"),
    Canary("the window begins after 48 hours, not sooner", "precheck", "interval '48 hours'", "interval '47 hours'", "naming"),
    Canary("ids are not of the future", "precheck", "interval '5 minutes'", "interval '6 minutes'", "naming"),
    Canary("jobs' ids are version 8", "precheck", "<> (CASE WHEN p_internal THEN 8 ELSE 7 END)", "NOT IN (7, 8)", "naming"),
    Canary("an id of no month is old", "precheck", "f.month_open IS NOT TRUE", "false", "naming"),
    Canary("one id has one body", "precheck", "j.hash IS DISTINCT FROM i.hash OR ", "", "spending"),
    Canary("whatever is meant is in the hash", "precheck", "j.hash IS DISTINCT FROM i.hash OR ", "", "meaning"),
    Canary("a replay is answered, not done", "precheck", "ELSIF j.id IS NOT NULL THEN", "ELSIF false THEN", "spending"),
    Canary("a replay says so", "precheck", "o.replayed := true", "o.replayed := false", "spending"),
    Canary("short of points is for ever", "decide", "m.st IN (0, 10, 50, 51, 52)", "m.st IN (0, 50, 51, 52)", "spending"),
    Canary("a hold not found is for ever", "decide", "m.st IN (0, 10, 50, 51, 52)", "m.st IN (0, 10, 51, 52)", "holding"),
    Canary("a hold expired is for ever", "decide", "m.st IN (0, 10, 50, 51, 52)", "m.st IN (0, 10, 50, 52)", "holding"),
    Canary("a refund too large is for ever", "decide", "m.st IN (0, 10, 50, 51, 52)", "m.st IN (0, 10, 50, 51)", "refunding"),
    # -- earning
    Canary("a lot ends with a month", "lot_day", "interval '1 month - 1 day'", "interval '1 month - 2 days'", "earning"),
    Canary("days are the city's", "city_day", "vault.zone()", "'UTC'", "spending"),
    Canary("nothing is earned tomorrow", "decide_earn", "(i.earned_on <= v_today) IS NOT TRUE", "false", "earning"),
    Canary("no earning gives more than its terms", "decide_earn", "(v_points BETWEEN 1 AND t.points) IS NOT TRUE", "false", "earning"),
    Canary("nothing dead is earned", "decide_earn", "v_expiry < v_today", "false", "earning"),
    Canary("a cap is a cap", "count_limits", "+ v_amount > l.cap", "> l.cap", "earning"),
    Canary("caps count in their period", "count_limits", "vault.period_start(l.period, p_day)", "date 'epoch'", "earning"),
    Canary("caps are read in their period", "read_facts", "vault.period_start(l.period, CASE", "vault.period_start('week', CASE", "earning"),
    Canary("points are counted as points", "count_limits", "WHEN 'points' THEN p_points", "WHEN 'points' THEN 1", "earning"),
    Canary("uses are counted", "write_holds", "SET used = a.used + excluded.used", "SET used = excluded.used", "earning", "allowances_are_the_journal"),
    Canary("an empty slot gives nothing", "check_slots", "(f.a).avail < p_amount_a", "false", "earning"),
    Canary("an empty second slot gives nothing", "check_slots", "(f.bb).avail < p_amount_b", "false", "starving"),
    Canary("a closed budget gives nothing", "check_slots", "p_amount_a > 0 AND (f.a).open IS NOT TRUE", "false", "claiming"),
    Canary("what is taken is gone", "post_round", "p_slots[f.a_at].avail - (o.m).take_a", "p_slots[f.a_at].avail", "earning", "budget_is_its_entries"),
    # -- spending
    Canary("what is dead cannot be spent", "take_lots", "expiry[i] < today", "expiry[i] < today - 1", "spending", "no_expired_point_was_spent"),
    Canary("what lives can be spent", "take_lots", "expiry[i] < today", "expiry[i] <= today", "spending"),
    Canary("the soonest lot goes first", "take_lots", "expiry[i] < today THEN 0", "i < cardinality(expiry) AND points[cardinality(expiry)] >= amount THEN 0", "spending"),
    Canary("what is dead is booked", "drop_expired", "expiry[n + 1] < today", "expiry[n + 1] < today - 40", "earning"),
    Canary("what lives is not booked", "drop_expired", "expiry[n + 1] < today", "expiry[n + 1] <= today + 40", "spending", "no_expired_point_was_spent"),
    Canary("a row balances", "decide_spend", "m.d_peer := i.points", "m.d_peer := i.points - 1", "spending"),
    Canary("a wallet is its lots", "note", "w.points_avail + coalesce(m.d_avail, 0)", "w.points_avail + coalesce(m.d_avail, 0) + 1", "spending"),
    Canary("rows are numbered", "note", "w.seq := w.seq + 1;", "w.seq := w.seq + 2;", "spending", "sequence_has_no_gap"),
    Canary("points are at least one", "points_ok", "BETWEEN 1 AND", "BETWEEN 0 AND", "spending"),
    # -- holding
    Canary("a hold has an end", "decide_hold_end", "ELSIF h.until <= p_at THEN", "ELSIF h.until < p_at THEN", "holding"),
    Canary("a hold lasts at most 30 days", "decide_spend", "BETWEEN 1 AND 2592000", "BETWEEN 1 AND 2592001", "holding"),
    Canary("a capture is at most the hold", "decide_hold_end", "v_captured > h.points", "v_captured > h.points + 1", "holding"),
    Canary("a hold ends once", "write_holds", "h.id = x.id", "h.id = x.id AND h.points > 1000", "holding", "held_is_the_open_holds"),
    Canary("only what is over lapses", "decide_hold_end", "p_internal AND h.until > p_at", "false", "holding"),
    Canary("the latest lots come back", "decide_hold_end", "m.lots := v_parts.tail", "m.lots := v_parts.head", "holding"),
    Canary("what is held is held", "note", "w.points_held + coalesce(m.d_held, 0)", "w.points_held + abs(coalesce(m.d_held, 0))", "holding", "wallet_is_its_entries"),
    # -- refunding
    Canary("refunds add up", "decide_refund", "v_done + i.points > s.d_peer", "i.points > s.d_peer", "refunding"),
    Canary("refunds are remembered", "write_holds", "SET done = excluded.done,", "SET done = vault.refunded.done,", "refunding", "refunds_are_within_the_spend"),
    Canary("only what was spent is given back", "decide_refund", "s.op NOT IN (8, 10)", "s.op NOT IN (8, 9, 10)", "refunding"),
    Canary("a spend renews once", "decide_refund", "coalesce(v_renewed_until, vault.lot_day(v_today + 30, 0))", "vault.lot_day(v_today + 30, 0)", "refunding"),
    Canary("a renewed lot lives a month", "decide_refund", "v_today + 30", "v_today + 90", "refunding"),
    Canary("the last taken comes back first", "decide_refund", "s.d_peer - v_done - i.points)).tail", "s.d_peer - v_done - i.points)).head", "refunding"),
    Canary("what lives keeps its day", "renew_lots", "v_day < today", "v_day <= today + 60", "refunding"),
    # -- adjusting, freezing
    Canary("an adjustment needs two people", "decide_adjust", "AND i.actor <> i.approver", "", "adjusting", "adjustments_name_two_people"),
    Canary("an adjustment needs a reason", "short_text", "BETWEEN 1 AND p_most", "BETWEEN 0 AND p_most", "adjusting"),
    Canary("an adjusted lot lives two years at most", "decide_adjust", "BETWEEN 1 AND 24", "BETWEEN 1 AND 25", "adjusting"),
    Canary("a frozen wallet does not pay", "precheck", "v_freeze = 'debit_frozen' AND (i.op IN (8, 9)", "v_freeze = 'debit_frozen' AND (i.op IN (9)", "freezing"),
    Canary("a frozen wallet holds nothing", "precheck", "v_freeze = 'debit_frozen' AND (i.op IN (8, 9)", "v_freeze = 'debit_frozen' AND (i.op IN (8)", "freezing"),
    Canary("a debit-frozen wallet buys nothing", "precheck", "OR i.op = 2 AND (f.t).price_points > 0", "", "freezing"),
    *[Canary(f"a frozen wallet does no {op}", "precheck", "i.op IN (1, 2, 3, 8, 9, 10, 12, 14)", f"i.op IN ({', '.join(str(one) for one in (1, 2, 3, 8, 9, 10, 12, 14) if one != op)})", "freezing") for op in (1, 2, 8, 12, 14)],
    Canary("a freeze ends to the instant", "freeze_of", "frozen_until <= p_at", "frozen_until < p_at", "freezing"),
    Canary("a frozen resident's code is no good", "decide_scan", "vault.freeze_of(w, p_at) = 'frozen'", "false", "freezing"),
    # -- places
    Canary("a place holds what it may", "check_counters", "s.avail < v_amount AND v_low IS NULL", "false", "crowding"),
    Canary("what is counted is taken", "post_round", "p_slots[v_place].avail - (o.m).counted[k]", "p_slots[v_place].avail", "crowding", "budget_is_its_entries"),
    Canary("points at places are points", "check_counters", "WHEN 'points' THEN p_points", "WHEN 'points' THEN 1", "crowding", "counters_are_the_journal"),
    Canary("what it costs is what is paid", "check_counters", "WHEN 'fen' THEN p_fen", "WHEN 'fen' THEN p_face_fen", "crowding", "counters_are_the_journal"),
    Canary("every town has its own", "resolve_counters", "WHEN 'town' THEN v_town", "WHEN 'town' THEN 'x'", "crowding"),
    Canary("a redemption is where its store is", "resolve_counters", "IF i.op = 3 THEN", "IF false THEN", "crowding"),
    Canary("every store has its own", "resolve_counters", "THEN i.store::text", "THEN i.merchant::text", "crowding", "counters_are_the_journal"),
    Canary("an earning counts on its day", "resolve_counters", "WHEN 1 THEN i.earned_on", "WHEN 0 THEN i.earned_on", "crowding"),
    Canary("a period begins anew", "open_counter", "vault.period_start(l.period, p_day)", "vault.period_start('total', p_day)", "crowding"),
    Canary("a void gives a place back what it took", "decide_void", "-(x.taken ->> 1)::bigint", "0", "crowding", "counters_are_the_journal"),
    Canary("a redemption remembers what it counted", "decide_redeem", "vault.counted_of(i.counters, m.counted)", "NULL", "crowding", "counters_are_the_journal"),
    # -- coupons
    Canary("a price is paid", "decide_claim", "m.d_avail := -v_price", "m.d_avail := 0", "claiming"),
    Canary("claims are in time", "decide_claim", "OR v_expires < v_first", "", "claiming"),
    Canary("a grant is free", "decide_claim", "CASE WHEN p_internal THEN 0 ELSE t.price_points END", "t.price_points", "granting"),
    Canary("a grant has no hours", "decide_claim", "NOT p_internal AND (t.claim_from", "(t.claim_from", "granting"),
    Canary("a claim has hours", "decide_claim", "NOT p_internal AND (t.claim_from", "false AND (t.claim_from", "granting"),
    Canary("a grant says out of what", "decide_claim", "p_internal AND NOT vault.short_text(i.reason, 120)", "false", "granting"),
    Canary("a debit-frozen wallet is given to", "precheck", "> 0 AND NOT p_internal)", "> 0)", "granting"),
    Canary("a discount is half up", "share_of", "+ 5000", "+ 4999", "sharing"),
    Canary("the sponsor's share is reserved", "decide_claim", "v_reserved, NULL, NULL, NULL, p_at", "0, NULL, NULL, NULL, p_at", "claiming", "coupons_are_the_journal"),
    Canary("an order reaches the threshold", "discount_of", "p_order_fen < t.threshold_fen", "p_order_fen <= t.threshold_fen", "returning"),
    Canary("a threshold is not passed below", "discount_of", "p_order_fen < t.threshold_fen", "false", "returning"),
    Canary("a discount has a cap", "discount_of", "least(vault.share_of(p_order_fen, 10000 - t.pay_bp), t.cap_fen)", "vault.share_of(p_order_fen, 10000 - t.pay_bp)", "starving"),
    Canary("no order amount where none is wanted", "discount_of", "st := 34", "st := 0", "redeeming"),
    Canary("nobody takes his own code", "decide_scan", "i.own_resident = w.owner", "false", "redeeming"),
    Canary("a wrong code is no code", "decide_scan", "i.code_ok IS NOT TRUE", "false", "redeeming"),
    Canary("a code belongs to its terminal", "decide_scan", "cr.state = 'claimed' AND (cr.merchant_id <> i.merchant OR cr.terminal_id <> i.terminal)", "false", "redeeming"),
    Canary("a coupon is its merchants'", "decide_scan", "i.merchant <> ALL (t.merchants)", "false", "suspending"),
    Canary("five wrong codes kill", "write_scans", "c.wrong_codes >= 4", "c.wrong_codes >= 5", "suspending"),
    Canary("a ticket ends", "redeemable", "(i.ticket_expires_at > p_at) IS NOT TRUE", "false", "redeeming"),
    Canary("a ticket is its terminal's", "redeemable", "OR cr.terminal_id <> i.terminal", "", "redeeming"),
    Canary("a log-out kills codes", "redeemable", "OR cr.epoch <> (f.w).epoch", "", "suspending"),
    Canary("a suspended counter takes nothing", "read_facts", "WHERE x.open AND CASE", "WHERE CASE", "suspending"),
    Canary("merchant, store, terminal and staff must all be open", "read_facts", "count(*) = CASE", "count(*) + 1 >= CASE", "suspending"),
    Canary("a refill is no end of a budget", "is_exhausted", "BEGIN", "BEGIN RETURN true;", "earning"),
    Canary("a coupon is used to its last day", "redeemable", "c.expires_on < vault.city_day(p_at) THEN 35", "c.expires_on < vault.city_day(p_at) - 1 THEN 35", "returning"),
    Canary("redemptions count against caps", "decide_redeem", "m.allowances := v_limits.allowances", "m.allowances := NULL", "redeeming", "allowances_are_the_journal"),
    Canary("a void ends with its window", "decide_void", "p_at > r.void_until", "p_at >= r.void_until", "returning"),
    Canary("a void gives the allowance back to its own period", "decide_void", "i.owner, r.business_date, -1", "i.owner, v_today, -1", "returning", "allowances_are_the_journal"),
    Canary("a void is the negative", "decide_void", "0, v_paid, -v_paid", "0, v_paid - 1, 1 - v_paid", "redeeming", "void_is_the_negative"),
    Canary("grace is granted", "decide_void", "greatest(c.expires_on, v_today + t.grace_days)", "c.expires_on", "returning"),
    Canary("what comes back too late is gone", "decide_void", "IF c.expires_on < v_today THEN", "IF false THEN", "returning"),
    Canary("what returns stock returns it", "gone_legs", "CASE WHEN (t).return_stock THEN 1 ELSE 0 END", "0", "returning"),
    Canary("what was reserved goes back", "gone_legs", "m.take_b := -p_reserved", "m.take_b := 0", "returning", "takes_are_the_legs"),
    Canary("a coupon lives through its last day", "decide_expire_coupon", "c.expires_on >= vault.city_day(p_at)", "c.expires_on > vault.city_day(p_at)", "returning"),
    Canary("the rest is released after the window", "decide_release_subsidy", "p_at <= (f.r).void_until", "p_at < (f.r).void_until", "redeeming"),
    Canary("the rest is released once", "decide_release_subsidy", "c.reserved_fen := 0", "c.reserved_fen := c.reserved_fen", "redeeming", "coupons_are_the_journal"),
    Canary("a lock has an end", "state_of", "locked_until <= p_at", "locked_until < p_at", "locking"),
    Canary("a lock's end is an end for its order", "redeemable", "c.locked_until <= p_at", "c.locked_until < p_at", "locking"),
    Canary("a lock lasts 15 minutes at most", "decide_lock", "BETWEEN 1 AND 900", "BETWEEN 1 AND 901", "locking"),
    Canary("only what is over is unlocked by a job", "decide_lock", "p_internal AND c.locked_until > p_at", "false", "locking"),
    Canary("a locked coupon is kept", "decide_lock", "c.state := 'locked'", "c.state := 'issued'", "locking"),
    # -- terms
    Canary("a window closes", "is_usable_at", "v_minute < w.until_minute", "v_minute <= w.until_minute", "timing"),
    Canary("a window opens", "is_usable_at", "v_minute >= w.from_minute", "v_minute > w.from_minute", "timing"),
    Canary("a window has weekdays", "opens_on", "v_weekday = ANY (w.weekdays)", "true", "timing"),
    Canary("the published calendar is asked", "kind_of_day", "d.day = p_day", "false", "timing"),
    Canary("a year is replaced", "put_calendar_year", "DELETE FROM vault.calendar_day c WHERE c.day = ANY (v_old) AND c.day <> ALL (v_new);", "", "timing"),
    Canary("nothing is scanned out of its time", "decide_scan", "NOT vault.is_usable_at(t, c, f.day_kind, p_at)", "false", "timing"),
    Canary("nothing is redeemed out of its time", "redeemable", "NOT vault.is_usable_at(f.t, c, f.day_kind, p_at)", "false", "timing", "redeemed_where_and_when_allowed"),
    Canary("a coupon is its stores'", "decide_scan", "i.store <> ALL (t.stores)", "false", "timing"),
    Canary("a partner's coupon is its stores'", "redeemable", "NOT vault.is_accepted_at(f.t, i.merchant, i.store)", "false", "timing", "redeemed_where_and_when_allowed"),
    Canary("a coupon waits", "first_day", "p_issued_on + t.starts_after_days", "p_issued_on", "waiting"),
    Canary("a coupon waits for its first day of all", "first_day", ", t.valid_from", "", "waiting"),
    Canary("waiting shortens nothing", "decide_claim", "v_first + CASE", "v_today + CASE", "waiting"),
    Canary("nothing is claimed that never can be used", "decide_claim", "v_expires < v_first", "v_expires < v_today", "waiting"),
    Canary("the largest fraction goes first", "funding_of", "v_platform >= v_sponsor AND v_platform >= v_merchant", "true", "sharing"),
    Canary("of equal fractions the platform's goes first", "funding_of", "v_platform >= v_sponsor", "v_platform > v_sponsor", "sharing"),
    Canary("shares add up", "funding_of", "< p_discount_fen LOOP", "< p_discount_fen - 1 LOOP", "sharing"),
    Canary("shares are the terms'", "funding_of", "p_discount_fen * p_platform_bp / 10000", "p_discount_fen * p_sponsor_bp / 10000", "sharing"),
    Canary("a void gives back what was paid", "decide_void", "r.platform_fen + r.sponsor_fen", "r.sponsor_fen", "sharing", "void_is_the_negative"),
    Canary("an order has a number where it counts", "discount_of", "p_order_no IS NULL AND t.stacking_group IS NOT NULL", "false", "stacking"),
    Canary("one coupon of a group on an order", "discount_of", "o.stacked >= least(", "o.stacked > least(", "stacking", "an_order_carries_what_it_may"),
    Canary("the first one's limit holds for the second", "discount_of", "least(t.most_per_order, o.most_per_order)", "t.most_per_order", "stacking", "an_order_carries_what_it_may"),
    Canary("coupons save no more than an order costs", "discount_of", "discount_fen := least(discount_fen, v_left_fen)", "NULL", "stacking", "an_order_carries_what_it_may"),
    Canary("no coupon is used for nothing", "discount_of", "OR v_left_fen < least(discount_fen, 1)", "", "stacking"),
    Canary("other coupons' order amounts count", "discount_of", "least(p_order_fen, o.order_amount_fen)", "p_order_fen", "stacking", "an_order_carries_what_it_may"),
    Canary("an order is one shop's", "read_order", "r.merchant_id = i.merchant AND ", "", "stacking"),
    Canary("a voided redemption leaves its order", "read_order", "AND NOT EXISTS", "AND true OR NOT EXISTS", "stacking"),
    Canary("the order is looked at", "post_round", "f.o := vault.read_order(f.i, (f.t).stacking_group)", "f.o := ROW(0, NULL, 0, NULL)", "stacking", "an_order_carries_what_it_may"),
    Canary("a voided coupon gives its price back", "decide_void_coupon", "v_price > 0", "false", "ending"),
    Canary("what is gone is not voided", "decide_void_coupon", "(c.state IN ('issued', 'locked')) IS NOT TRUE", "c.id IS NULL", "ending", "coupons_are_the_journal"),
    # -- what check-ledger proves beyond the above
    Canary("a row's points balance", "decide_spend", "m.d_peer := i.points", "m.d_peer := i.points - 1", "spending", "rows_balance", "journal_points"),
    Canary("a row's fen balance", "fen_legs", "m.f_payable := p_payable", "m.f_payable := p_payable + 1", "redeeming", "legs_sum_to_zero", "journal_fen"),
    Canary("a wallet's lots are its points", "note", "w.points_avail + coalesce(m.d_avail, 0)", "w.points_avail + coalesce(m.d_avail, 0) + 1", "spending", "wallet_is_its_lots", "wallet_lots"),
    Canary("a row is in its owner's bucket", "decide_spend", "m.hold := ROW(i.b,", "m.hold := ROW(i.b # 1::smallint,", "holding", "buckets_are_right", "hold_b"),
    Canary("points go into the lot that is told", "decide_earn", "jsonb_build_array(v_expiry, v_points)", "jsonb_build_array(v_expiry + 1, v_points)", "earning", "lots_are_the_entries"),
    Canary("an entry tells its lots", "decide_spend", "m.lots := v_points.taken", "m.lots := '[]'", "spending", "lots_tell_the_change"),
    Canary("an entry is its wallet's", "note", "o.entry := ROW(w.b, w.owner,", "o.entry := ROW(w.b, w.owner + 1099511627776,", "spending", "no_entry_without_wallet"),
    Canary("an end names its hold", "decide_hold_end", "m.ref := h.id", "m.ref := i.id", "holding", "hold_is_open_or_ended_once"),
    Canary("a wallet is frozen as ordered", "write_postings", "frozen_until = x.frozen_until", "frozen_until = w.frozen_until", "freezing", "freeze_is_the_last_order"),
    Canary("folds add up", "fold_next", "sum(l.amount)", "max(l.amount)", "adjusting", "folds_are_the_journal"),
    Canary("a counter is as large as its entry", "open_counter", "note_cap(p_budget, l.cap,", "note_cap(p_budget, l.cap + 1,", "crowding", "counters_are_what_terms_allow"),
    Canary("a coupon has its claim's terms", "decide_claim", "m.coupon := ROW(i.b, i.owner, i.id, t.terms,", "m.coupon := ROW(i.b, i.owner, i.id, t.terms + 1,", "claiming", "coupon_came_from_a_claim"),
    Canary("a coupon's last day is what it was told", "write_coupons", "expires_on = x.expires_on", "expires_on = x.expires_on + 1", "redeeming", "coupon_is_as_its_entries_left_it"),
    Canary("a void shortens nothing", "decide_void", "ELSE c.expires_on END", "ELSE c.expires_on - 1 END", "redeeming", "coupon_keeps_its_days"),
    Canary("a coupon names its redemption", "decide_redeem", "c.redemption_id := i.id", "c.redemption_id := v_spent", "redeeming", "coupon_knows_its_redemption"),
    Canary("a redemption's entry names its coupon", "decide_redeem", "m.ref := c.id", "m.ref := v_spent", "redeeming", "redemption_has_its_entry"),
    Canary("a redemption uses its showing up", "write_coupons", "SET state = 'redeemed' FROM", "SET state = 'claimed' FROM", "redeeming", "one_redemption_per_credential"),
    Canary("nobody bears another's share", "funding_of", "  paid_fen := platform_fen + sponsor_fen", "  IF merchant_fen > 1 THEN merchant_fen := merchant_fen - 2; sponsor_fen := sponsor_fen + 2; END IF; paid_fen := platform_fen + sponsor_fen", "sharing", "discount_is_borne_in_shares"),
]  # fmt: skip
#: `make test` tries every third, `CHENGXIN_CANARIES=all` (`make faults`) all.
CHOSEN = CANARIES if os.environ.get("CHENGXIN_CANARIES") == "all" else CANARIES[::3]


@pytest_asyncio.fixture(scope="module")
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    async with open_ledger(database) as made:
        await made.stop_clock(MONTHS_AHEAD)
        await made.worker.ensure_partitions(1)
        for chapter in CHAPTERS:
            await live(made, chapter)
        yield made


async def broken(ledger: Ledger) -> dict[str, int]:
    """How many rows each check finds broken now; canaries before this one left some."""
    return {one.check: one.broken for one in await prove(ledger.database.worker)}


async def fold(ledger: Ledger) -> None:
    newest = await ledger.owner.fetchval("SELECT max(txid) FROM vault.journal")

    async def folded() -> bool:
        await ledger.owner.execute("SELECT vault.fold_next(100000)")
        return bool(await ledger.owner.fetchval("SELECT folded_to > $1 FROM vault.fold_cursor", newest))

    await until("everything folded", folded)


@pytest.mark.parametrize("canary", CHOSEN, ids=lambda canary: canary.rule)
async def test_a_broken_rule_is_noticed(ledger: Ledger, canary: Canary) -> None:
    before = await broken(ledger) if canary.check and not canary.refused_by else {}
    noticed: Exception | None = None
    async with sabotaged(ledger.owner, canary.function, canary.right, canary.wrong):
        try:
            await live(ledger, canary.chapter)
            if canary.function == "fold_next":
                await fold(ledger)
        except (AssertionError, asyncpg.IntegrityConstraintViolationError) as seen:
            noticed = seen
    if canary.refused_by:
        assert getattr(noticed, "constraint_name", None) == canary.refused_by
        return
    assert noticed or canary.check in BOOKS_ONLY, "nobody noticed"
    if canary.check:
        after = await broken(ledger)
        assert after[canary.check] > before[canary.check], "check-ledger did not notice"


def test_every_proof_has_a_canary() -> None:
    assert {one.check for one in CANARIES if one.check} == {proof.name for proof in PROOFS}


def test_every_chapter_has_a_canary() -> None:
    assert {one.chapter for one in CANARIES} == set(CHAPTERS)


async def test_an_unbroken_vault_alarms_nobody(ledger: Ledger) -> None:
    with suppress(AssertionError):
        async with sabotaged(ledger.owner, "decide_spend", "no such text", ""):
            raise RuntimeError("a canary out of date must not pass")
    for chapter in CHAPTERS:
        await live(ledger, chapter)
