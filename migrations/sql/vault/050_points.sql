-- What the operations on points decide. Each `decide_…` function judges one item under the wallet's lock from its facts and nothing
-- else: it reads no table and writes none (D6). Status numbers: `wallet/statuses.py`.

CREATE FUNCTION vault.points_ok(p_points bigint) RETURNS boolean LANGUAGE sql IMMUTABLE
AS $$SELECT coalesce(p_points BETWEEN 1 AND 1000000000000, false)$$;

-- Earn: points from a campaign's budget into the lot of the month's end after the validity (D10). The terms say how many points one
-- earning gives, or, where the caller names fewer, how many it may give at most.
CREATE FUNCTION vault.decide_earn(f vault.facts, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  i vault.item := f.i;
  t vault.earn_terms := f.e;
  v_today date := vault.city_day(p_at);
  v_points bigint := coalesce(i.points, t.points);
  v_expiry date;
  v_limits record;
  v_places vault.movement;
BEGIN
  IF t.terms IS NULL THEN
    RETURN vault.refusal(15);
  ELSIF (i.earned_on <= v_today) IS NOT TRUE OR (v_points BETWEEN 1 AND t.points) IS NOT TRUE THEN
    RETURN vault.refusal(5);
  END IF;
  v_expiry := vault.lot_day(i.earned_on, t.validity_months);
  IF v_expiry < v_today THEN
    RETURN vault.refusal(16);
  END IF;
  -- Counted on the day it was earned: two days that are posted late on one are still two days.
  v_limits := vault.count_limits(t.person_limits, f.used, 'earn', i.owner, i.earned_on, 1, v_points, 0);
  IF v_limits.reached THEN
    RETURN vault.refusal(14);
  END IF;
  IF cardinality(t.scoped_limits) > 0 THEN
    v_places := vault.check_counters(f, t.scoped_limits, 'earn', i.earned_on, v_points, 0, 0);
    IF v_places.st <> 0 THEN
      RETURN v_places;
    END IF;
  END IF;
  m := vault.check_slots(f, v_points, 0);
  IF m.st <> 0 THEN
    RETURN m;
  END IF;
  SELECT a.new_expiry, a.new_points INTO m.lot_expiry, m.lot_points
  FROM vault.add_lot((f.w).lot_expiry, (f.w).lot_points, v_expiry, v_points) a;
  m.allowances := v_limits.allowances;
  m.counted := v_places.counted;
  m.d_avail := v_points;
  m.d_held := 0;
  m.d_peer := -v_points;
  m.peer := t.points_budget;
  m.terms := t.terms;
  m.lots := jsonb_build_array(jsonb_build_array(v_expiry, v_points));
  m.detail := jsonb_build_object('points', v_points, 'expires_on', v_expiry, 'earned_on', i.earned_on);
  RETURN m;
END $$;

-- Spend or hold: points leave the soonest lots, to the payee at once or to be captured within the hold's life.
CREATE FUNCTION vault.decide_spend(f vault.facts, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  i vault.item := f.i;
  v_points record;
BEGIN
  IF NOT vault.points_ok(i.points) OR (i.payee > 0) IS NOT TRUE OR length(i.memo) > 100
     OR i.op = 9 AND (i.life_s BETWEEN 1 AND 2592000) IS NOT TRUE THEN
    RETURN vault.refusal(5);
  END IF;
  v_points := vault.take_lots((f.w).lot_expiry, (f.w).lot_points, i.points, vault.city_day(p_at));
  IF v_points.missing > 0 THEN
    RETURN vault.refusal(10);
  END IF;
  m.st := 0;
  m.lot_expiry := v_points.left_expiry;
  m.lot_points := v_points.left_points;
  m.lots := v_points.taken;
  m.d_avail := -i.points;
  m.peer := i.payee;
  m.detail := jsonb_build_object('points', i.points, 'payee', i.payee, 'memo', i.memo);
  IF i.op = 9 THEN
    m.d_held := i.points;
    m.d_peer := 0;
    m.hold := ROW(i.b, i.owner, i.id, i.points, v_points.taken, i.payee, p_at + make_interval(secs => i.life_s));
    m.detail := m.detail || jsonb_build_object('until', (m.hold).until);
  ELSE
    m.d_held := 0;
    m.d_peer := i.points;
  END IF;
  RETURN m;
END $$;

-- Capture: the whole of a hold, or its soonest points; what is left goes back to its own lots. Release: all of it goes back. A hold
-- never prolongs a life: what comes back after its day is expired in the same call (`note`).
CREATE FUNCTION vault.decide_hold_end(f vault.facts, p_at timestamptz, p_internal boolean) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  i vault.item := f.i;
  h vault.hold := f.h;
  v_captured bigint := 0;
  v_parts record;
BEGIN
  IF h.id IS NULL THEN
    RETURN vault.refusal(50);
  END IF;
  IF i.op = 10 THEN
    v_captured := coalesce(i.points, h.points);
    IF v_captured < 1 THEN
      RETURN vault.refusal(5);
    ELSIF h.until <= p_at THEN
      RETURN vault.refusal(51);
    ELSIF v_captured > h.points THEN
      RETURN vault.refusal(55);
    END IF;
  ELSIF p_internal AND h.until > p_at THEN
    RETURN vault.refusal(40);
  END IF;
  m.st := 0;
  v_parts := vault.cut_lots(h.lots, v_captured);
  m.lots := v_parts.tail;
  m.d_avail := h.points - v_captured;
  m.d_held := -h.points;
  m.d_peer := v_captured;
  IF m.d_avail > 0 THEN
    SELECT a.new_expiry, a.new_points INTO m.lot_expiry, m.lot_points FROM vault.add_lots((f.w).lot_expiry, (f.w).lot_points, m.lots) a;
  END IF;
  m.closed_hold := h.id;
  m.peer := h.payee;
  m.ref := h.id;
  m.detail := jsonb_build_object('hold_id', h.id, 'payee', h.payee);
  IF i.op = 10 THEN
    m.detail := m.detail || jsonb_build_object('points', v_captured, 'given_back', m.d_avail, 'spent', v_parts.head);
  ELSE
    m.detail := m.detail || jsonb_build_object('points', h.points, 'lapsed', h.until <= p_at);
  END IF;
  RETURN m;
END $$;

-- Refund of a spend or capture, in one go or in parts, never more than was spent. Points go back to the lots they came from, last
-- taken first. A lot that is past its day meanwhile becomes one that ends with the month of the 30th day from now; that day is
-- fixed by the first such refund of a spend, so that refunding cannot renew points for ever (D9).
CREATE FUNCTION vault.decide_refund(f vault.facts, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  i vault.item := f.i;
  s vault.journal := f.s;
  v_today date := vault.city_day(p_at);
  v_done bigint := coalesce((f.g).done, 0);
  v_renewed_until date := (f.g).renewed_until;
  v_lots jsonb;
  v_renewed record;
BEGIN
  IF s.id IS NULL OR s.st <> 0 OR s.op NOT IN (8, 10) THEN
    RETURN vault.refusal(53);
  ELSIF NOT vault.points_ok(i.points) OR NOT vault.short_text(i.reason, 200) THEN
    RETURN vault.refusal(5);
  ELSIF v_done + i.points > s.d_peer THEN
    RETURN vault.refusal(52);
  END IF;
  v_lots := CASE s.op WHEN 8 THEN s.lots ELSE s.detail -> 'spent' END;
  v_lots := (vault.cut_lots((vault.cut_lots(v_lots, s.d_peer - v_done)).head, s.d_peer - v_done - i.points)).tail;
  v_renewed := vault.renew_lots(v_lots, v_today, coalesce(v_renewed_until, vault.lot_day(v_today + 30, 0)));
  IF v_renewed.renewed_points > 0 THEN
    v_renewed_until := coalesce(v_renewed_until, vault.lot_day(v_today + 30, 0));
  END IF;
  m.st := 0;
  m.lots := v_renewed.new_lots;
  SELECT a.new_expiry, a.new_points INTO m.lot_expiry, m.lot_points FROM vault.add_lots((f.w).lot_expiry, (f.w).lot_points, m.lots) a;
  m.refunded := ROW(i.b, i.owner, s.id, v_done + i.points, s.d_peer, v_renewed_until);
  m.d_avail := i.points;
  m.d_held := 0;
  m.d_peer := -i.points;
  m.peer := s.peer;
  m.ref := s.id;
  m.detail := jsonb_build_object('points', i.points, 'posting_id', s.id, 'payee', s.peer, 'refunded_points', v_done + i.points,
    'renewed_points', v_renewed.renewed_points, 'reason', i.reason, 'actor', i.actor);
  RETURN m;
END $$;

-- Manual adjustment, up or down: two different people, a reason, a document number. Internal only: the house records who asked and
-- who approved before the worker posts it.
CREATE FUNCTION vault.decide_adjust(f vault.facts, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  i vault.item := f.i;
  v_today date := vault.city_day(p_at);
  v_expiry date;
  v_points record;
BEGIN
  IF NOT vault.points_ok(CASE WHEN i.points > -1000000000001 THEN abs(i.points) END) OR NOT vault.short_text(i.reason, 200) OR NOT vault.short_text(i.document, 100)
     OR i.points > 0 AND (i.validity_months BETWEEN 1 AND 24) IS NOT TRUE THEN
    RETURN vault.refusal(5);
  ELSIF (i.actor > 0 AND i.approver > 0 AND i.actor <> i.approver) IS NOT TRUE THEN
    RETURN vault.refusal(56);
  END IF;
  m.st := 0;
  IF i.points > 0 THEN
    v_expiry := vault.lot_day(v_today, i.validity_months);
    SELECT a.new_expiry, a.new_points INTO m.lot_expiry, m.lot_points
    FROM vault.add_lot((f.w).lot_expiry, (f.w).lot_points, v_expiry, i.points) a;
    m.lots := jsonb_build_array(jsonb_build_array(v_expiry, i.points));
  ELSE
    v_points := vault.take_lots((f.w).lot_expiry, (f.w).lot_points, -i.points, v_today);
    IF v_points.missing > 0 THEN
      RETURN vault.refusal(10);
    END IF;
    m.lot_expiry := v_points.left_expiry;
    m.lot_points := v_points.left_points;
    m.lots := v_points.taken;
  END IF;
  m.d_avail := i.points;
  m.d_held := 0;
  m.d_peer := -i.points;
  m.peer := 0;
  m.detail := jsonb_build_object('points', i.points, 'expires_on', v_expiry, 'reason', i.reason, 'document', i.document,
    'actor', i.actor, 'approver', i.approver);
  RETURN m;
END $$;

-- Books points past their day as breakage. They have been unspendable since that day began, whether this ran or not.
CREATE FUNCTION vault.decide_expire_points(f vault.facts, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  v_kept record := vault.drop_expired((f.w).lot_expiry, (f.w).lot_points, vault.city_day(p_at));
BEGIN
  IF v_kept.expired = 0 THEN
    RETURN vault.refusal(40);
  END IF;
  m.st := 0;
  m.lot_expiry := v_kept.kept_expiry;
  m.lot_points := v_kept.kept_points;
  m.lots := v_kept.expired_lots;
  m.d_avail := -v_kept.expired;
  m.d_held := 0;
  m.d_peer := v_kept.expired;
  m.peer := 0;
  m.detail := jsonb_build_object('points', v_kept.expired);
  RETURN m;
END $$;

-- How a wallet's freeze stands at this instant: an order that has run out counts as lifted.
CREATE FUNCTION vault.freeze_of(w vault.wallet, p_at timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN (w).frozen_until <= p_at THEN 'open' ELSE (w).status END
$$;

-- Freeze and unfreeze, by an authority's order: a row without legs, so that the statement and the seal know of it.
CREATE FUNCTION vault.decide_freeze(f vault.facts, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  i vault.item := f.i;
BEGIN
  IF NOT vault.short_text(i.authority, 100) OR NOT vault.short_text(i.reason, 200) OR (i.actor > 0) IS NOT TRUE
     OR i.op = 17 AND ((i.freeze_kind IN ('debit_frozen', 'frozen')) IS NOT TRUE OR i.until <= p_at OR i.until > p_at + interval '100 years') THEN
    RETURN vault.refusal(5);
  ELSIF i.op = 18 AND vault.freeze_of(f.w, p_at) = 'open' THEN
    RETURN vault.refusal(57);
  END IF;
  m.st := 0;
  m.freeze_kind := CASE i.op WHEN 17 THEN i.freeze_kind ELSE 'open' END;
  m.frozen_until := CASE i.op WHEN 17 THEN i.until END;
  m.detail := jsonb_build_object('freeze', m.freeze_kind, 'authority', i.authority, 'reason', i.reason, 'until', m.frozen_until, 'actor', i.actor);
  RETURN m;
END $$;
