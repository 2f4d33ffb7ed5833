-- One item's decision: what stands before every operation, the operation itself, and the rows it becomes. No table is read or written.

-- Turns a decided movement into the rows to be written. A posting that changes the lots also books what is past its day, and a void
-- that came too late for its coupon expires it: both as a second row under an id derived from the first.
CREATE FUNCTION vault.note(f vault.facts, m vault.movement, p_at timestamptz) RETURNS vault.outcome LANGUAGE plpgsql AS $$
DECLARE
  o vault.outcome;
  i vault.item := f.i;
  w vault.wallet := f.w;
  g vault.movement;
  v_txid bigint := pg_current_xact_id()::text::bigint;
  v_kept record;
  v_takes jsonb;
  v_counted jsonb;
BEGIN
  IF m.take_a <> 0 THEN
    v_takes := jsonb_build_array(jsonb_build_array((f.a).budget, (f.a).slot, m.take_a));
  END IF;
  IF m.take_b <> 0 THEN
    v_takes := coalesce(v_takes, '[]') || jsonb_build_array(jsonb_build_array((f.bb).budget, (f.bb).slot, m.take_b));
  END IF;
  FOR k IN 1..coalesce(cardinality(m.counted), 0) LOOP
    IF m.counted[k] <> 0 THEN
      v_counted := coalesce(v_counted, '[]') || jsonb_build_array(jsonb_build_array((f.cs[k]).budget, (f.cs[k]).slot, m.counted[k]));
    END IF;
  END LOOP;
  w.seq := w.seq + 1;
  w.points_avail := w.points_avail + coalesce(m.d_avail, 0);
  w.points_held := w.points_held + coalesce(m.d_held, 0);
  IF m.freeze_kind IS NOT NULL THEN
    w.status := m.freeze_kind;
    w.frozen_until := m.frozen_until;
  END IF;
  o.entry := ROW(w.b, w.owner, i.id, w.seq, i.op, m.st, m.d_avail, m.d_held, m.d_peer, m.c_stock, m.c_out, m.c_used, m.c_gone,
    m.f_budget, m.f_reserved, m.f_payable, m.peer, w.points_avail, w.points_held, coalesce(m.terms, i.terms), m.ref,
    CASE WHEN i.op = 4 OR v_takes IS NULL THEN v_counted WHEN v_counted IS NULL THEN v_takes ELSE v_takes || v_counted END, m.lots, m.detail, i.hash, p_at, v_txid);
  IF m.lot_expiry IS NOT NULL THEN
    v_kept := vault.drop_expired(m.lot_expiry, m.lot_points, vault.city_day(p_at));
    w.lot_expiry := v_kept.kept_expiry;
    w.lot_points := v_kept.kept_points;
    IF v_kept.expired > 0 THEN
      w.seq := w.seq + 1;
      w.points_avail := w.points_avail - v_kept.expired;
      o.follow := ROW(w.b, w.owner, vault.derived_id(i.id, 'expire_points'), w.seq, 7, 0, -v_kept.expired, 0, v_kept.expired,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, w.points_avail, w.points_held, NULL, i.id, NULL, v_kept.expired_lots,
        jsonb_build_object('points', v_kept.expired), i.hash, p_at, v_txid);
      -- The caller is told what can be spent now, not what stood between the two rows.
      o.entry.detail := m.detail || jsonb_build_object('points_after', w.points_avail);
    END IF;
  ELSIF w.lot_expiry[1] < vault.city_day(p_at) THEN
    o.entry.detail := coalesce(m.detail, '{}') || jsonb_build_object('points_after',
      w.points_avail - (vault.drop_expired(w.lot_expiry, w.lot_points, vault.city_day(p_at))).expired);
  END IF;
  IF i.op = 4 AND (m.coupon).state = 'expired' THEN
    g := vault.gone_legs(g, f.t, -coalesce(m.take_b, 0));
    w.seq := w.seq + 1;
    o.follow := ROW(w.b, w.owner, vault.derived_id(i.id, 'expire_coupon'), w.seq, 5, 0, NULL, NULL, NULL, g.c_stock, g.c_out, g.c_used,
      g.c_gone, g.f_budget, g.f_reserved, g.f_payable, (f.t).template, w.points_avail, w.points_held, (f.t).terms, (m.coupon).id, v_takes, NULL,
      jsonb_build_object('coupon_id', (m.coupon).id, 'expired_on', (m.coupon).expires_on), i.hash, p_at, v_txid);
  END IF;
  o.wallet := w;
  o.m := m;
  o.replayed := false;
  o.status := m.st;
  o.answer := vault.answer_of(o.entry);
  RETURN o;
END $$;

-- The answer of a posting, first time and every time: built from its row and nothing else.
CREATE FUNCTION vault.answer_of(j vault.journal) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('id', (j).id, 'owner', (j).owner, 'seq', (j).seq, 'at', (j).at, 'terms', (j).terms, 'points_after', (j).avail_after)
      || coalesce((j).detail, '{}')
$$;

-- What stands before any decision, in the order of D6: the item itself, the wallet, the replay look-up, the id's window, the freeze.
-- NULL: the operation may decide.
CREATE FUNCTION vault.precheck(f vault.facts, p_at timestamptz, p_internal boolean) RETURNS vault.outcome LANGUAGE plpgsql AS $$
DECLARE
  o vault.outcome;
  i vault.item := f.i;
  j vault.journal := f.j;
  v_freeze text;
BEGIN
  o.replayed := false;
  IF i.owner IS NULL OR i.b IS DISTINCT FROM (i.owner & 1023) THEN
    o.status := 5;
  ELSIF (f.w).owner IS NULL THEN
    o.status := CASE i.op WHEN 20 THEN 20 WHEN 4 THEN 38 ELSE 4 END;
  ELSIF i.op = 20 THEN
    NULL;
  ELSIF i.op = 4 AND (i.id IS NULL OR (f.r).merchant_id IS DISTINCT FROM i.merchant) THEN
    o.status := 38;
  ELSIF i.op = 4 AND (f.r).store_id IS DISTINCT FROM i.store THEN
    o.status := 41;
  ELSIF j.id IS NOT NULL THEN
    o.status := CASE WHEN j.hash IS DISTINCT FROM i.hash OR j.op <> i.op THEN 2 ELSE j.st END;
    IF o.status <> 2 THEN
      o.replayed := true;
      o.answer := vault.answer_of(j);
    END IF;
  ELSIF i.id IS NULL OR i.hash IS NULL THEN
    o.status := 5;
  ELSIF vault.id_version(i.id) <> (CASE WHEN p_internal THEN 8 ELSE 7 END) THEN
    o.status := 6;
  ELSIF NOT p_internal AND i.op <> 4 AND vault.id_time(i.id) NOT BETWEEN p_at - interval '48 hours' AND p_at + interval '5 minutes' THEN
    o.status := 3;
  ELSIF f.month_open IS NOT TRUE THEN
    o.status := 3;
  ELSIF (f.w).status <> 'open' THEN
    v_freeze := vault.freeze_of(f.w, p_at);
    IF v_freeze = 'frozen' AND i.op IN (1, 2, 3, 8, 9, 10, 12, 14)
       OR v_freeze = 'debit_frozen' AND (i.op IN (8, 9) OR i.op = 2 AND (f.t).price_points > 0 AND NOT p_internal) THEN
      o.status := 54;
    END IF;
  END IF;
  RETURN o;
END $$;

-- One item: its answer, and what is to be written for it. Reads and writes no table.
CREATE FUNCTION vault.decide(f vault.facts, p_at timestamptz, p_internal boolean) RETURNS vault.outcome LANGUAGE plpgsql AS $$
DECLARE
  o vault.outcome := vault.precheck(f, p_at, p_internal);
  m vault.movement;
BEGIN
  IF o.status IS NOT NULL THEN
    RETURN o;
  END IF;
  CASE (f.i).op
    WHEN 1 THEN m := vault.decide_earn(f, p_at);
    WHEN 2 THEN m := vault.decide_claim(f, p_at, p_internal);
    WHEN 3 THEN m := vault.decide_redeem(f, p_at);
    WHEN 4 THEN m := vault.decide_void(f, p_at);
    WHEN 5 THEN m := vault.decide_expire_coupon(f, p_at);
    WHEN 6 THEN m := vault.decide_release_subsidy(f, p_at);
    WHEN 7 THEN m := vault.decide_expire_points(f, p_at);
    WHEN 8, 9 THEN m := vault.decide_spend(f, p_at);
    WHEN 10, 11 THEN m := vault.decide_hold_end(f, p_at, p_internal);
    WHEN 12 THEN m := vault.decide_refund(f, p_at);
    WHEN 13 THEN m := vault.decide_adjust(f, p_at);
    WHEN 14, 15 THEN m := vault.decide_lock(f, p_at, p_internal);
    WHEN 16 THEN m := vault.decide_void_coupon(f, p_at);
    WHEN 17, 18 THEN m := vault.decide_freeze(f, p_at);
    WHEN 20 THEN RETURN vault.decide_scan(f, p_at);
  END CASE;
  -- These refusals must stay refusals (D8): they are written, moving nothing. All others write nothing.
  IF m.st IN (0, 10, 50, 51, 52) THEN
    RETURN vault.note(f, m, p_at);
  END IF;
  o.status := m.st;
  o.answer := CASE WHEN m.st = 11 THEN m.detail END;
  RETURN o;
END $$;
