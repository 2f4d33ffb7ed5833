-- Posting: the one way value moves. `post` locks what a batch touches in one order (wallets, then slots), then lets each item
-- answer for itself. `post_batch` is the application's door, `post_internal` the worker's.

-- Turns a decided movement into rows to be written: the journal row, before it one for points that expired unbooked, and the wallet.
CREATE FUNCTION vault.note(w vault.wallet, i vault.item, m vault.movement, p_at timestamptz) RETURNS vault.outcome
LANGUAGE plpgsql AS $$
DECLARE
  o vault.outcome;
  v_txid bigint := pg_current_xact_id()::text::bigint;
BEGIN
  IF m.expired > 0 THEN
    w.seq := w.seq + 1;
    w.points_avail := w.points_avail - m.expired;
    o.expiry := ROW(w.b, w.owner, vault.derived_id(i.id, 'expire_points'), w.seq, 7, 0, -m.expired, 0, m.expired, NULL, NULL, NULL, NULL,
      NULL, NULL, NULL, NULL, w.points_avail, w.points_held, NULL, i.id, NULL, m.expired_lots, NULL, i.hash, p_at, v_txid);
  END IF;
  w.seq := w.seq + 1;
  w.points_avail := w.points_avail + coalesce(m.d_avail, 0);
  w.lot_expiry := coalesce(m.lot_expiry, w.lot_expiry);
  w.lot_points := coalesce(m.lot_points, w.lot_points);
  o.wallet := w;
  o.entry := ROW(w.b, w.owner, i.id, w.seq, i.op, m.st, m.d_avail, CASE WHEN m.d_avail IS NOT NULL THEN 0 END, m.d_peer, m.c_stock,
    m.c_out, m.c_used, m.c_gone, m.f_budget, m.f_reserved, m.f_payable, m.peer, w.points_avail, w.points_held,
    coalesce(m.terms, i.terms), m.ref, m.takes, m.lots, m.detail, i.hash, p_at, v_txid);
  o.redemption := m.redemption;
  o.replayed := false;
  o.status := m.st;
  o.answer := vault.answer_of(o.entry);
  RETURN o;
END $$;

-- Writes what a batch decided, each table once: a statement's set-up costs more than its rows.
CREATE FUNCTION vault.write(p_wallets vault.wallet[], p_journal vault.journal[], p_redemptions vault.redemption[], p_scans vault.scan[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF cardinality(p_journal) > 0 THEN
    UPDATE vault.wallet w
    SET seq = x.seq, points_avail = x.points_avail, lot_expiry = x.lot_expiry, lot_points = x.lot_points
    FROM unnest(p_wallets) x WHERE w.b = x.b AND w.owner = x.owner;
    INSERT INTO vault.journal SELECT * FROM unnest(p_journal);
  END IF;
  IF cardinality(p_scans) > 0 THEN
    UPDATE vault.credential c
    SET state = 'claimed', merchant_id = x.merchant_id, store_id = x.store_id, terminal_id = x.terminal_id, staff_id = x.staff_id,
      claimed_at = x.at, redemption_id = x.redemption_id, void_id = x.void_id
    FROM unnest(p_scans) x WHERE x.claims AND c.b = x.b AND c.id = x.credential_id;
    INSERT INTO vault.scan_log (b, owner, credential_id, merchant_id, store_id, terminal_id, result, at)
    SELECT x.b, x.owner, x.credential_id, x.merchant_id, x.store_id, x.terminal_id, x.result, x.at FROM unnest(p_scans) x;
  END IF;
  IF cardinality(p_redemptions) > 0 THEN
    INSERT INTO vault.redemption_ref SELECT x.id, x.b, x.owner FROM unnest(p_redemptions) x;
    INSERT INTO vault.redemption SELECT * FROM unnest(p_redemptions);
    UPDATE vault.credential c SET state = 'redeemed'
    FROM unnest(p_redemptions) x WHERE c.b = x.b AND c.id = x.credential_id;
    UPDATE vault.coupon c SET state = 'redeemed', redemption_id = x.id, reserved_fen = c.reserved_fen - x.sponsor_fen
    FROM unnest(p_redemptions) x WHERE c.b = x.b AND c.owner = x.owner AND c.id = x.coupon_id;
  END IF;
END $$;

-- One item, in the order of D6: lock wallet, replay look-up, id window, decide, take. What is left to write is in the outcome.
CREATE FUNCTION vault.post_one(i vault.item, p_internal boolean) RETURNS vault.outcome LANGUAGE plpgsql AS $$
DECLARE
  o vault.outcome;
  w vault.wallet;
  j vault.journal;
  m vault.movement;
  r vault.redemption;
  v_at timestamptz;
BEGIN
  o.replayed := false;
  IF i.owner IS NULL OR i.b IS DISTINCT FROM (i.owner & 1023) THEN
    o.status := CASE i.op WHEN 20 THEN 20 WHEN 4 THEN 38 ELSE 5 END;
    RETURN o;
  END IF;
  SELECT * INTO w FROM vault.wallet x WHERE x.b = i.b AND x.owner = i.owner FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    o.status := 4;
    RETURN o;
  END IF;
  v_at := vault.now();
  IF i.op = 20 THEN
    IF num_nulls(i.merchant, i.store, i.terminal, i.redemption, i.void) > 0 THEN
      o.status := 5;
      RETURN o;
    END IF;
    RETURN vault.op_claim_credential(w, i, v_at);
  END IF;
  IF i.op = 4 THEN
    SELECT * INTO r FROM vault.redemption x WHERE x.b = w.b AND x.id = i.redemption;
    IF NOT FOUND OR r.merchant_id IS DISTINCT FROM i.merchant THEN
      o.status := 38;
      RETURN o;
    ELSIF r.store_id IS DISTINCT FROM i.store THEN
      o.status := 41;
      RETURN o;
    END IF;
    i.id := r.void_id;
  END IF;

  SELECT * INTO j FROM vault.journal x WHERE x.b = i.b AND x.owner = i.owner AND x.id = i.id;
  IF FOUND THEN
    o.status := CASE WHEN j.hash IS DISTINCT FROM i.hash OR j.op <> i.op THEN 2 ELSE j.st END;
    IF o.status <> 2 THEN
      o.replayed := true;
      o.answer := vault.answer_of(j);
    END IF;
    RETURN o;
  END IF;

  IF i.id IS NULL OR i.hash IS NULL THEN
    o.status := 5;
  ELSIF vault.id_version(i.id) <> (CASE WHEN p_internal THEN 8 ELSE 7 END) THEN
    o.status := 6;
  ELSIF NOT p_internal AND i.op <> 4 AND vault.id_time(i.id) NOT BETWEEN v_at - interval '48 hours' AND v_at + interval '5 minutes' THEN
    o.status := 3;
  ELSIF NOT EXISTS (SELECT FROM vault.journal_month x WHERE x.lower_id <= i.id AND x.upper_id > i.id) THEN
    o.status := 3;
  END IF;
  IF o.status IS NOT NULL THEN
    RETURN o;
  END IF;

  CASE i.op
    WHEN 1 THEN m := vault.op_earn(w, i, v_at);
    WHEN 2 THEN m := vault.op_claim(w, i, v_at);
    WHEN 3 THEN m := vault.op_redeem(w, i, v_at);
    WHEN 4 THEN m := vault.op_void(w, i, v_at, r);
    WHEN 5 THEN m := vault.op_expire_coupon(w, i, v_at);
    WHEN 6 THEN m := vault.op_release_subsidy(w, i, v_at);
  END CASE;
  -- Short of points (10) is the one refusal that must stay a refusal: it is written, moving nothing.
  IF m.st IN (0, 10) THEN
    RETURN vault.note(w, i, m, v_at);
  END IF;
  o.status := m.st;
  o.answer := CASE WHEN m.st = 11 THEN m.detail END;
  RETURN o;
END $$;

-- Fills in what a caller must not choose: the owner behind a handle or a redemption, and the slots of this lane (D4, D28). All of it
-- is read from what never changes, except `gathered`: a debit that chose a slot just before it was gathered is asked to refill.
CREATE FUNCTION vault.resolve(i vault.item, p_lane smallint) RETURNS vault.item LANGUAGE plpgsql AS $$
BEGIN
  CASE i.op
    WHEN 20 THEN
      SELECT h.b, h.owner, h.credential_id INTO i.b, i.owner, i.credential FROM vault.credential_handle h WHERE h.handle = i.handle;
    WHEN 4 THEN
      SELECT x.b, x.owner INTO i.b, i.owner FROM vault.redemption_ref x WHERE x.redemption_id = i.redemption;
    WHEN 1 THEN
      SELECT CASE WHEN g.gathered THEN 0 ELSE p_lane % g.slots END, jsonb_build_array(jsonb_build_array(g.budget, CASE WHEN g.gathered THEN 0 ELSE p_lane % g.slots END))
      INTO i.slot_a, i.takes FROM vault.earn_terms t JOIN vault.budget g ON g.budget = t.points_budget WHERE t.terms = i.terms;
    WHEN 2 THEN
      SELECT x.slot_a, x.slot_b, jsonb_build_array(jsonb_build_array(x.budget_a, x.slot_a)) ||
        CASE WHEN x.budget_b IS NULL THEN '[]' ELSE jsonb_build_array(jsonb_build_array(x.budget_b, x.slot_b)) END
      INTO i.slot_a, i.slot_b, i.takes
      FROM (SELECT a.budget AS budget_a, CASE WHEN a.gathered THEN 0 ELSE p_lane % a.slots END AS slot_a,
                   f.budget AS budget_b, CASE WHEN f.gathered THEN 0 ELSE p_lane % f.slots END AS slot_b
            FROM vault.coupon_terms t JOIN vault.budget a ON a.budget = t.stock_budget
            LEFT JOIN vault.budget f ON f.budget = t.fen_budget WHERE t.terms = i.terms) x;
    WHEN 5, 6 THEN
      SELECT j.takes INTO i.takes FROM vault.journal j WHERE j.b = i.b AND j.owner = i.owner AND j.id = i.coupon;
    ELSE
      NULL;
  END CASE;
  RETURN i;
END $$;

CREATE FUNCTION vault.post(p_items jsonb, p_lane smallint, p_internal boolean)
RETURNS TABLE (n integer, status smallint, replayed boolean, answer jsonb)
LANGUAGE plpgsql AS $$
DECLARE
  v_items vault.item[];
  i vault.item;
  o vault.outcome;
  v_owners bigint[] := '{}';
  v_wallets vault.wallet[] := '{}';
  v_journal vault.journal[] := '{}';
  v_redemptions vault.redemption[] := '{}';
  v_scans vault.scan[] := '{}';
  v_allowed smallint[] := CASE WHEN p_internal THEN '{1,5,6}' ELSE '{2,3,4,20}' END;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'the vault posts at READ COMMITTED only' USING ERRCODE = 'invalid_transaction_state';
  END IF;
  SELECT array_agg(x ORDER BY x.n) INTO v_items FROM jsonb_populate_recordset(NULL::vault.item, p_items) x;
  FOR k IN 1..coalesce(cardinality(v_items), 0) LOOP
    IF v_items[k].op IN (1, 2, 4, 5, 6, 20) THEN
      v_items[k] := vault.resolve(v_items[k], p_lane);
    END IF;
  END LOOP;
  -- One item takes its slots in order by itself; an expiry gives back to two, in the terms' order, and has them locked first too.
  IF cardinality(v_items) > 1 OR v_items[1].op = 5 THEN
    PERFORM FROM vault.wallet w
    JOIN (SELECT DISTINCT x.b, x.owner FROM unnest(v_items) x) k ON k.b = w.b AND k.owner = w.owner
    ORDER BY w.b, w.owner FOR NO KEY UPDATE OF w;
    PERFORM FROM vault.slot s
    JOIN (SELECT DISTINCT vault.cell(x.b) AS pb, (t ->> 0)::bigint AS budget, (t ->> 1)::smallint AS slot
          FROM unnest(v_items) x, jsonb_array_elements(x.takes) t WHERE x.takes IS NOT NULL) k
      ON k.pb = s.pb AND k.budget = s.budget AND k.slot = s.slot
    ORDER BY s.pb, s.budget, s.slot FOR NO KEY UPDATE OF s;
  END IF;
  FOR k IN 1..coalesce(cardinality(v_items), 0) LOOP
    i := v_items[k];
    -- A second item of one resident must find what the first one did: duplicates in one batch replay like any other.
    IF i.owner = ANY (v_owners) THEN
      PERFORM vault.write(v_wallets, v_journal, v_redemptions, v_scans);
      v_owners := '{}';
      v_wallets := '{}';
      v_journal := '{}';
      v_redemptions := '{}';
      v_scans := '{}';
    END IF;
    IF i.op = ANY (v_allowed) THEN
      o := vault.post_one(i, p_internal);
    ELSE
      o := ROW(6, false, NULL, NULL, NULL, NULL, NULL, NULL);
    END IF;
    IF (o.expiry).id IS NOT NULL THEN
      v_journal := v_journal || o.expiry;
    END IF;
    IF (o.entry).id IS NOT NULL THEN
      v_owners := v_owners || i.owner;
      v_wallets := v_wallets || o.wallet;
      v_journal := v_journal || o.entry;
    END IF;
    IF (o.redemption).id IS NOT NULL THEN
      v_redemptions := v_redemptions || o.redemption;
    END IF;
    IF (o.scan).credential_id IS NOT NULL THEN
      v_owners := v_owners || i.owner;
      v_scans := v_scans || o.scan;
    END IF;
    n := i.n;
    status := o.status;
    replayed := o.replayed;
    answer := o.answer;
    RETURN NEXT;
  END LOOP;
  IF cardinality(v_owners) > 0 THEN
    PERFORM vault.write(v_wallets, v_journal, v_redemptions, v_scans);
  END IF;
END $$;

-- Both doors have every statement inside planned once per connection: planning anew for each batch's arrays would cost more than
-- running them.

-- The application's door: claims, redemptions, voids and scans, under ids the client made (version 7).
CREATE FUNCTION vault.post_batch(p_items jsonb, p_lane smallint)
RETURNS TABLE (n integer, status smallint, replayed boolean, answer jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN QUERY SELECT * FROM vault.post(p_items, p_lane, false);
END $$;

-- The worker's door: earning, expiry and releases, under ids made from the business event (version 8). Neither door takes the other's ids.
CREATE FUNCTION vault.post_internal(p_items jsonb, p_lane smallint)
RETURNS TABLE (n integer, status smallint, replayed boolean, answer jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN QUERY SELECT * FROM vault.post(p_items, p_lane, true);
END $$;
