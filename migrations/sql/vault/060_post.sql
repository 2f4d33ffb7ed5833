-- Posting: the one way value moves.
--
--   post_batch ────┐                                ┌──────────────── per round ──────────────────┐
--                  ├─ read items ─ resolve ─ lock ──┴─ read facts ── decide, item by item ── write ─┴─ write slots
--   post_internal ─┘  (and rounds)  (slots)  wallets,  (one statement)   (no table)     (each table once)
--                                            slots
--
-- Wallets are locked in key order, then slots in key order, so two batches cannot wait for each other in a circle (D7). A round
-- holds at most one item of a resident; a resident's second item is decided in the next round and finds what the first one did.

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
BEGIN
  IF m.take_a <> 0 THEN
    v_takes := jsonb_build_array(jsonb_build_array((f.a).budget, (f.a).slot, m.take_a));
  END IF;
  IF m.take_b <> 0 THEN
    v_takes := coalesce(v_takes, '[]') || jsonb_build_array(jsonb_build_array((f.bb).budget, (f.bb).slot, m.take_b));
  END IF;
  w.seq := w.seq + 1;
  w.points_avail := w.points_avail + coalesce(m.d_avail, 0);
  w.points_held := w.points_held + coalesce(m.d_held, 0);
  IF m.freeze_kind IS NOT NULL THEN
    w.status := m.freeze_kind;
    w.frozen_until := m.frozen_until;
  END IF;
  o.entry := ROW(w.b, w.owner, i.id, w.seq, i.op, m.st, m.d_avail, m.d_held, m.d_peer, m.c_stock, m.c_out, m.c_used, m.c_gone,
    m.f_budget, m.f_reserved, m.f_payable, m.peer, w.points_avail, w.points_held, coalesce(m.terms, i.terms), m.ref,
    CASE WHEN i.op <> 4 THEN v_takes END, m.lots, m.detail, i.hash, p_at, v_txid);
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
  ELSIF i.op = 4 AND (m.coupon).state = 'expired' THEN
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
CREATE FUNCTION vault.answer_of(j vault.journal) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
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
    o.status := CASE i.op WHEN 20 THEN 20 WHEN 4 THEN 38 ELSE 5 END;
  ELSIF (f.w).owner IS NULL THEN
    o.status := 4;
  ELSIF i.op = 20 THEN
    NULL;
  ELSIF i.op = 4 AND (f.r).merchant_id IS DISTINCT FROM i.merchant THEN
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
       OR v_freeze = 'debit_frozen' AND (i.op IN (8, 9) OR i.op = 2 AND (f.t).price_points > 0) THEN
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
    WHEN 2 THEN m := vault.decide_claim(f, p_at);
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

-- Reads a batch. What a caller must not choose is left empty; a resident's items are numbered into rounds.
CREATE FUNCTION vault.read_items(p_items jsonb) RETURNS vault.item[] LANGUAGE plpgsql AS $$
DECLARE
  v_items vault.item[];
BEGIN
  SELECT array_agg(ROW(x.n, x.op, x.b, x.owner, x.id, x.hash, x.terms, x.earned_on, x.coupon, x.credential, x.redemption, x.void,
      x.merchant, x.store, x.terminal, x.staff, x.own_resident, x.order_amount_fen, x.ticket_expires_at, x.handle, x.code_ok, x.points,
      x.payee, x.posting, x.lock, x.life_s, x.validity_months, x.freeze_kind, x.until, x.authority, x.actor, x.approver, x.reason,
      x.document, x.request_no, x.memo, x.nth, NULL, NULL, NULL, NULL)::vault.item ORDER BY x.n)
  INTO v_items
  FROM (SELECT i.*, row_number() OVER (PARTITION BY i.owner ORDER BY i.n) AS nth FROM jsonb_populate_recordset(NULL::vault.item, p_items) i) x;
  RETURN v_items;
END $$;

-- Fills in the owner behind a handle or a redemption, and the slots of this lane (D4, D28). All of it is read from what never
-- changes, except `gathered`: a debit that chose a slot just before it was gathered is asked to refill. Owners are new, so rounds
-- are numbered again; who has no owner needs no turn.
CREATE FUNCTION vault.resolve(p_items vault.item[], p_lane smallint) RETURNS vault.item[] LANGUAGE plpgsql AS $$
DECLARE
  v_items vault.item[];
BEGIN
  SELECT array_agg(ROW(x.n, x.op, x.b, x.owner, x.id, x.hash, x.terms, x.earned_on, x.coupon, x.credential, x.redemption, x.void,
      x.merchant, x.store, x.terminal, x.staff, x.own_resident, x.order_amount_fen, x.ticket_expires_at, x.handle, x.code_ok, x.points,
      x.payee, x.posting, x.lock, x.life_s, x.validity_months, x.freeze_kind, x.until, x.authority, x.actor, x.approver, x.reason,
      x.document, x.request_no, x.memo,
      CASE WHEN x.owner IS NULL THEN 1 ELSE x.nth END, x.budget_a, x.slot_a, x.budget_b, x.slot_b)::vault.item ORDER BY x.n)
  INTO v_items
  FROM (SELECT y.*, row_number() OVER (PARTITION BY y.owner ORDER BY y.n) AS nth FROM (
    SELECT i.n, i.op, i.hash, i.terms, i.earned_on, i.redemption, i.void, i.merchant, i.store, i.terminal, i.staff, i.own_resident,
      i.order_amount_fen, i.ticket_expires_at, i.handle, i.code_ok, i.points, i.payee, i.posting, i.lock, i.life_s, i.validity_months,
      i.freeze_kind, i.until, i.authority, i.actor, i.approver, i.reason, i.document, i.request_no, i.memo,
      CASE i.op WHEN 20 THEN h.b WHEN 4 THEN d.b ELSE i.b END AS b,
      CASE i.op WHEN 20 THEN h.owner WHEN 4 THEN d.owner ELSE i.owner END AS owner,
      CASE i.op WHEN 4 THEN r.void_id ELSE i.id END AS id,
      CASE i.op WHEN 4 THEN r.coupon_id ELSE i.coupon END AS coupon,
      CASE i.op WHEN 20 THEN h.credential_id ELSE i.credential END AS credential,
      a.budget AS budget_a, CASE WHEN a.gathered THEN 0 ELSE p_lane % a.slots END AS slot_a,
      g.budget AS budget_b, CASE WHEN g.gathered THEN 0 ELSE p_lane % g.slots END AS slot_b
    FROM unnest(p_items) i
    LEFT JOIN vault.credential_handle h ON i.op = 20 AND h.handle = i.handle
    LEFT JOIN vault.redemption_ref d ON i.op = 4 AND d.redemption_id = i.redemption
    LEFT JOIN vault.redemption r ON i.op = 4 AND r.b = d.b AND r.id = d.redemption_id
    LEFT JOIN vault.coupon c ON i.op IN (5, 6, 16) AND c.b = i.b AND c.owner = i.owner AND c.id = i.coupon
    LEFT JOIN vault.coupon_terms t ON i.op IN (2, 4, 5, 6, 16) AND t.terms = CASE i.op WHEN 2 THEN i.terms WHEN 4 THEN r.terms ELSE c.terms END
    LEFT JOIN vault.earn_terms e ON i.op = 1 AND e.terms = i.terms
    LEFT JOIN vault.budget a ON a.budget = CASE i.op WHEN 1 THEN e.points_budget ELSE t.stock_budget END
    LEFT JOIN vault.budget g ON g.budget = t.fen_budget) y) x;
  RETURN v_items;
END $$;

-- Everything the decisions of one round depend on, in one statement with one snapshot, taken after the locks. What only a few
-- operations need (hold, refund, the posting that is taken back) is read for them by `post_round`.
CREATE FUNCTION vault.read_facts(p_items vault.item[], p_slots vault.slot[], p_round integer, p_day date) RETURNS SETOF vault.facts
LANGUAGE sql STABLE AS $$
  SELECT i, w, j, NULL::vault.journal, NULL::vault.hold, NULL::vault.refunded, cr, c, t, e, r,
    CASE WHEN i.op IN (1, 2, 3) THEN (
      SELECT array_agg(coalesce(u.used, 0) ORDER BY l.k)
      FROM unnest(CASE i.op WHEN 1 THEN e.person_limits ELSE t.person_limits END) WITH ORDINALITY l (limit_id, action, measure, period, cap, k)
      LEFT JOIN vault.allowance u ON u.b = i.b AND u.owner = i.owner AND u.limit_id = l.limit_id
        AND u.period_start = vault.period_start(l.period, p_day)) END,
    CASE WHEN i.op IN (3, 4, 20) THEN (
      SELECT count(*) = CASE WHEN i.staff IS NULL THEN 3 ELSE 4 END
      FROM (VALUES ('merchant', i.merchant), ('store', i.store), ('terminal', i.terminal), ('staff', i.staff)) v (kind, id)
      JOIN vault.acceptor x ON x.kind = v.kind AND x.id = v.id
      WHERE x.open AND CASE v.kind WHEN 'merchant' THEN true WHEN 'terminal' THEN x.store_id = i.store ELSE x.merchant_id = i.merchant END)
    END,
    i.op = 20 OR EXISTS (SELECT FROM vault.journal_month x WHERE x.lower_id <= i.id AND x.upper_id > i.id),
    sa.at, sb.at, NULL::vault.slot, NULL::vault.slot
  FROM unnest(p_items) i
  LEFT JOIN vault.wallet w ON w.b = i.b AND w.owner = i.owner
  LEFT JOIN vault.journal j ON j.b = i.b AND j.owner = i.owner AND j.id = i.id
  LEFT JOIN vault.credential cr ON (i.op = 20 OR i.op = 3 AND i.lock IS NULL) AND cr.b = i.b AND cr.id = i.credential
  LEFT JOIN vault.coupon c ON c.b = i.b AND c.owner = i.owner
    AND c.id = CASE WHEN i.op = 20 OR i.op = 3 AND i.lock IS NULL THEN cr.coupon_id ELSE i.coupon END
  LEFT JOIN vault.coupon_terms t ON t.terms = CASE i.op WHEN 2 THEN i.terms ELSE c.terms END
  LEFT JOIN vault.earn_terms e ON i.op = 1 AND e.terms = i.terms
  LEFT JOIN vault.redemption r ON r.b = i.b AND r.id = CASE i.op WHEN 4 THEN i.redemption WHEN 6 THEN c.redemption_id END
  LEFT JOIN unnest(p_slots) WITH ORDINALITY sa (pb, budget, slot, avail, open, at) ON sa.pb = vault.cell(i.b) AND sa.budget = i.budget_a
  LEFT JOIN unnest(p_slots) WITH ORDINALITY sb (pb, budget, slot, avail, open, at) ON sb.pb = vault.cell(i.b) AND sb.budget = i.budget_b
  WHERE i.round = p_round
  ORDER BY i.n
$$;

-- Writes a round's postings, each table once: a statement's set-up costs more than its rows.
CREATE FUNCTION vault.write_postings(p_wallets vault.wallet[], p_journal vault.journal[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE vault.wallet w
  SET seq = x.seq, points_avail = x.points_avail, points_held = x.points_held, lot_expiry = x.lot_expiry, lot_points = x.lot_points,
    status = x.status, frozen_until = x.frozen_until
  FROM unnest(p_wallets) x WHERE w.b = x.b AND w.owner = x.owner;
  INSERT INTO vault.journal SELECT * FROM unnest(p_journal);
END $$;

CREATE FUNCTION vault.write_coupons(p_new vault.coupon[], p_changed vault.coupon[], p_redemptions vault.redemption[],
  p_voided vault.redemption_void[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF cardinality(p_new) > 0 THEN
    INSERT INTO vault.coupon SELECT * FROM unnest(p_new);
  END IF;
  IF cardinality(p_redemptions) > 0 THEN
    INSERT INTO vault.redemption_ref SELECT x.id, x.b, x.owner FROM unnest(p_redemptions) x;
    INSERT INTO vault.redemption SELECT * FROM unnest(p_redemptions);
    UPDATE vault.credential c SET state = 'redeemed' FROM unnest(p_redemptions) x WHERE c.b = x.b AND c.id = x.credential_id;
  END IF;
  IF cardinality(p_voided) > 0 THEN
    INSERT INTO vault.redemption_void SELECT * FROM unnest(p_voided);
  END IF;
  IF cardinality(p_changed) > 0 THEN
    UPDATE vault.coupon c
    SET state = x.state, expires_on = x.expires_on, reserved_fen = x.reserved_fen, redemption_id = x.redemption_id, lock_id = x.lock_id,
      locked_until = x.locked_until
    FROM unnest(p_changed) x WHERE c.b = x.b AND c.owner = x.owner AND c.id = x.id;
  END IF;
END $$;

CREATE FUNCTION vault.write_holds(p_new vault.hold[], p_closed vault.hold[], p_refunded vault.refunded[], p_allowances vault.allowance[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF cardinality(p_new) > 0 THEN
    INSERT INTO vault.hold SELECT * FROM unnest(p_new);
  END IF;
  IF cardinality(p_closed) > 0 THEN
    DELETE FROM vault.hold h USING unnest(p_closed) x WHERE h.b = x.b AND h.owner = x.owner AND h.id = x.id;
  END IF;
  IF cardinality(p_refunded) > 0 THEN
    INSERT INTO vault.refunded SELECT * FROM unnest(p_refunded)
    ON CONFLICT (b, owner, ref) DO UPDATE SET done = excluded.done, renewed_until = excluded.renewed_until;
  END IF;
  IF cardinality(p_allowances) > 0 THEN
    INSERT INTO vault.allowance AS a SELECT x.b, x.owner, x.limit_id, x.period_start, x.used FROM unnest(p_allowances) x WHERE x.used > 0
    ON CONFLICT (b, owner, limit_id, period_start) DO UPDATE SET used = a.used + excluded.used;
    UPDATE vault.allowance a SET used = a.used + x.used FROM unnest(p_allowances) x
    WHERE x.used < 0 AND a.b = x.b AND a.owner = x.owner AND a.limit_id = x.limit_id AND a.period_start = x.period_start;
  END IF;
END $$;

-- Decides and writes one round; `p_slots` comes back with what was taken and given back.
CREATE FUNCTION vault.post_round(p_items vault.item[], p_round integer, p_internal boolean, INOUT p_slots vault.slot[],
  OUT p_replies vault.reply[]) LANGUAGE plpgsql AS $$
DECLARE
  v_at timestamptz := vault.now();
  f vault.facts;
  o vault.outcome;
  v_allowed smallint[] := CASE WHEN p_internal THEN '{1,5,6,7,11,13,15}' ELSE '{2,3,4,8,9,10,11,12,14,15,16,17,18,20}' END;
  v_wallets vault.wallet[] := '{}';
  v_journal vault.journal[] := '{}';
  v_new vault.coupon[] := '{}';
  v_changed vault.coupon[] := '{}';
  v_redemptions vault.redemption[] := '{}';
  v_voided vault.redemption_void[] := '{}';
  v_holds vault.hold[] := '{}';
  v_closed vault.hold[] := '{}';
  v_refunded vault.refunded[] := '{}';
  v_allowances vault.allowance[] := '{}';
  v_scans vault.scan[] := '{}';
BEGIN
  p_replies := '{}';
  FOR f IN SELECT * FROM vault.read_facts(p_items, p_slots, p_round, vault.city_day(v_at)) LOOP
    IF ((f.i).op = ANY (v_allowed)) IS NOT TRUE THEN
      o := ROW(6, false, NULL, NULL, NULL, NULL, NULL, NULL);
    ELSE
      IF (f.i).op IN (10, 11) THEN
        SELECT h INTO f.h FROM vault.hold h WHERE h.b = (f.i).b AND h.owner = (f.i).owner AND h.id = (f.i).posting;
      ELSIF (f.i).op IN (12, 16) THEN
        SELECT s INTO f.s FROM vault.journal s
        WHERE s.b = (f.i).b AND s.owner = (f.i).owner AND s.id = CASE (f.i).op WHEN 12 THEN (f.i).posting ELSE (f.i).coupon END;
        SELECT g INTO f.g FROM vault.refunded g WHERE g.b = (f.i).b AND g.owner = (f.i).owner AND g.ref = (f.i).posting;
      END IF;
      IF f.a_at IS NOT NULL THEN
        f.a := p_slots[f.a_at];
      END IF;
      IF f.b_at IS NOT NULL THEN
        f.bb := p_slots[f.b_at];
      END IF;
      o := vault.decide(f, v_at, p_internal);
    END IF;
    IF (o.entry).id IS NOT NULL THEN
      v_wallets := v_wallets || o.wallet;
      v_journal := v_journal || o.entry;
      IF (o.follow).id IS NOT NULL THEN
        v_journal := v_journal || o.follow;
      END IF;
      IF (o.m).take_a <> 0 THEN
        p_slots[f.a_at].avail := p_slots[f.a_at].avail - (o.m).take_a;
      END IF;
      IF (o.m).take_b <> 0 THEN
        p_slots[f.b_at].avail := p_slots[f.b_at].avail - (o.m).take_b;
      END IF;
      IF ((o.m).coupon).id IS NOT NULL THEN
        IF (f.i).op = 2 THEN
          v_new := v_new || (o.m).coupon;
        ELSE
          v_changed := v_changed || (o.m).coupon;
        END IF;
      END IF;
      IF ((o.m).redemption).id IS NOT NULL THEN
        v_redemptions := v_redemptions || (o.m).redemption;
      END IF;
      IF ((o.m).voided).id IS NOT NULL THEN
        v_voided := v_voided || (o.m).voided;
      END IF;
      IF ((o.m).hold).id IS NOT NULL THEN
        v_holds := v_holds || (o.m).hold;
      END IF;
      IF (o.m).closed_hold IS NOT NULL THEN
        v_closed := v_closed || f.h;
      END IF;
      IF ((o.m).refunded).ref IS NOT NULL THEN
        v_refunded := v_refunded || (o.m).refunded;
      END IF;
      IF (o.m).allowances IS NOT NULL THEN
        v_allowances := v_allowances || (o.m).allowances;
      END IF;
    ELSIF (o.scan).credential_id IS NOT NULL THEN
      v_scans := v_scans || o.scan;
    END IF;
    p_replies := p_replies || ROW((f.i).n, o.status, o.replayed, o.answer)::vault.reply;
  END LOOP;
  IF cardinality(v_journal) > 0 THEN
    PERFORM vault.write_postings(v_wallets, v_journal);
    IF cardinality(v_new) + cardinality(v_changed) > 0 THEN
      PERFORM vault.write_coupons(v_new, v_changed, v_redemptions, v_voided);
    END IF;
    IF cardinality(v_holds) + cardinality(v_closed) + cardinality(v_refunded) + cardinality(v_allowances) > 0 THEN
      PERFORM vault.write_holds(v_holds, v_closed, v_refunded, v_allowances);
    END IF;
  END IF;
  IF cardinality(v_scans) > 0 THEN
    PERFORM vault.write_scans(v_scans);
  END IF;
END $$;

CREATE FUNCTION vault.post(p_items jsonb, p_lane smallint, p_internal boolean) RETURNS SETOF vault.reply LANGUAGE plpgsql AS $$
DECLARE
  v_items vault.item[] := vault.read_items(p_items);
  v_slots vault.slot[];
  v_replies vault.reply[] := '{}';
  v_round integer := 0;
  v_resolves boolean := false;
  r record;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'the vault posts at READ COMMITTED only' USING ERRCODE = 'invalid_transaction_state';
  END IF;
  FOR k IN 1..coalesce(cardinality(v_items), 0) LOOP
    v_resolves := v_resolves OR v_items[k].op IN (1, 2, 4, 5, 6, 16, 20);
  END LOOP;
  IF v_resolves THEN
    v_items := vault.resolve(v_items, p_lane);
  END IF;
  PERFORM FROM vault.wallet w
  JOIN (SELECT DISTINCT x.b, x.owner FROM unnest(v_items) x) k ON k.b = w.b AND k.owner = w.owner
  ORDER BY w.b, w.owner FOR NO KEY UPDATE OF w;
  IF v_resolves THEN
    SELECT array_agg(ROW(s.pb, s.budget, s.slot, s.avail, s.open)::vault.slot) INTO v_slots FROM (
      SELECT s.pb, s.budget, s.slot, s.avail, s.open FROM vault.slot s
      JOIN (SELECT vault.cell(x.b) AS pb, x.budget_a AS budget, x.slot_a AS slot FROM unnest(v_items) x WHERE x.budget_a IS NOT NULL
            UNION SELECT vault.cell(x.b), x.budget_b, x.slot_b FROM unnest(v_items) x WHERE x.budget_b IS NOT NULL) k
        ON k.pb = s.pb AND k.budget = s.budget AND k.slot = s.slot
      ORDER BY s.pb, s.budget, s.slot FOR NO KEY UPDATE OF s) s;
  END IF;
  WHILE cardinality(v_replies) < cardinality(v_items) LOOP
    v_round := v_round + 1;
    r := vault.post_round(v_items, v_round, p_internal, v_slots);
    v_slots := r.p_slots;
    v_replies := v_replies || r.p_replies;
  END LOOP;
  IF v_slots IS NOT NULL THEN
    UPDATE vault.slot s SET avail = x.avail FROM unnest(v_slots) x
    WHERE s.pb = x.pb AND s.budget = x.budget AND s.slot = x.slot AND s.avail <> x.avail;
  END IF;
  RETURN QUERY SELECT x.* FROM unnest(v_replies) x ORDER BY x.n;
END $$;

-- Both doors have every statement inside planned once per connection, and always by index: planning anew for each batch's arrays
-- would cost more than running them, and a plan made while a table was small must still be right when it is large.

-- The application's door, under ids the client made (version 7).
CREATE FUNCTION vault.post_batch(p_items jsonb, p_lane smallint)
RETURNS TABLE (n integer, status smallint, replayed boolean, answer jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
BEGIN
  RETURN QUERY SELECT x.* FROM vault.post(p_items, p_lane, false) x;
END $$;

-- The worker's door: what jobs do, under ids made from the business event (version 8). Neither door takes the other's ids.
CREATE FUNCTION vault.post_internal(p_items jsonb, p_lane smallint)
RETURNS TABLE (n integer, status smallint, replayed boolean, answer jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
BEGIN
  RETURN QUERY SELECT x.* FROM vault.post(p_items, p_lane, true) x;
END $$;
