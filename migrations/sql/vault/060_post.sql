-- Posting: the one way value moves. `post` locks what a batch touches in one order (wallets, then slots), then lets each item
-- answer for itself. `post_batch` is the application's door, `post_internal` the worker's.

-- A terminal scans a code: the credential is claimed for it, or the answer is one uniform "not valid" (D27, D30). The reason goes
-- to the scan log only. A claim is replayed by its natural key: the same terminal gets the same redemption id again.
CREATE FUNCTION vault.op_claim_credential(w vault.wallet, i vault.item, p_at timestamptz, OUT st smallint, OUT answer jsonb)
LANGUAGE plpgsql AS $$
DECLARE
  cr vault.credential;
  c vault.coupon;
  t vault.coupon_terms;
  v_result text;
BEGIN
  st := 20;
  SELECT * INTO cr FROM vault.credential x WHERE x.b = w.b AND x.id = i.credential;
  SELECT * INTO c FROM vault.coupon x WHERE x.b = w.b AND x.owner = w.owner AND x.id = cr.coupon_id;
  SELECT * INTO t FROM vault.coupon_terms x WHERE x.terms = c.terms;
  v_result := CASE
    WHEN cr.id IS NULL OR c.id IS NULL THEN 'unknown'
    WHEN cr.state = 'burnt' OR cr.epoch <> w.epoch THEN 'revoked'
    WHEN cr.state = 'redeemed' THEN 'used'
    WHEN cr.expires_at <= p_at THEN 'expired'
    WHEN i.code_ok IS NOT TRUE THEN 'wrong_code'
    WHEN i.own_resident = w.owner THEN 'own_code'
    WHEN c.state <> 'issued' THEN 'coupon_' || c.state
    WHEN c.expires_on < (p_at AT TIME ZONE vault.zone())::date THEN 'coupon_expired'
    WHEN cardinality(t.merchants) > 0 AND i.merchant <> ALL (t.merchants) THEN 'wrong_merchant'
    WHEN cr.state = 'claimed' AND (cr.merchant_id <> i.merchant OR cr.terminal_id <> i.terminal) THEN 'claimed_elsewhere'
    WHEN NOT vault.acceptor_open(i.merchant, i.store, i.terminal, i.staff) THEN 'merchant_suspended'
    ELSE 'usable'
  END;
  IF v_result = 'unknown' THEN
    RETURN;
  ELSIF v_result = 'wrong_code' AND cr.state = 'open' THEN
    UPDATE vault.credential x SET wrong_codes = x.wrong_codes + 1, state = CASE WHEN x.wrong_codes >= 4 THEN 'burnt' ELSE x.state END
    WHERE x.b = w.b AND x.id = cr.id;
  ELSIF v_result = 'usable' AND cr.state = 'open' THEN
    UPDATE vault.credential x SET state = 'claimed', merchant_id = i.merchant, store_id = i.store, terminal_id = i.terminal,
      staff_id = i.staff, claimed_at = p_at, redemption_id = i.redemption, void_id = i.void
    WHERE x.b = w.b AND x.id = cr.id;
    cr.redemption_id := i.redemption;
  END IF;
  INSERT INTO vault.scan_log (b, owner, credential_id, merchant_id, store_id, terminal_id, result, at)
  VALUES (w.b, w.owner, cr.id, i.merchant, i.store, i.terminal, v_result, p_at);
  IF v_result = 'merchant_suspended' THEN
    st := 21;
  ELSIF v_result = 'usable' THEN
    st := 0;
    answer := jsonb_build_object('owner', w.owner, 'credential_id', cr.id, 'redemption_id', cr.redemption_id, 'coupon_id', c.id,
      'terms', t.terms, 'expires_on', c.expires_on);
  END IF;
END $$;

-- The answer of a posting, first time and every time: built from its row and nothing else.
CREATE FUNCTION vault.answer_of(j vault.journal) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object('id', (j).id, 'owner', (j).owner, 'seq', (j).seq, 'at', (j).at, 'terms', (j).terms, 'points_after', (j).avail_after)
      || coalesce((j).detail, '{}')
$$;

-- Writes a decided movement: one journal row and the wallet's new state.
CREATE FUNCTION vault.apply_movement(w vault.wallet, i vault.item, m vault.movement, p_at timestamptz) RETURNS vault.journal
LANGUAGE plpgsql AS $$
DECLARE
  j vault.journal;
BEGIN
  IF m.expired > 0 THEN
    w.seq := w.seq + 1;
    w.points_avail := w.points_avail - m.expired;
    INSERT INTO vault.journal (b, owner, id, seq, op, st, d_avail, d_held, d_peer, avail_after, held_after, ref, lots, hash, at)
    VALUES (w.b, w.owner, vault.derived_id(i.id, 'expire_points'), w.seq, 7, 0, -m.expired, 0, m.expired, w.points_avail, w.points_held,
      i.id, m.expired_lots, i.hash, p_at);
  END IF;
  w.seq := w.seq + 1;
  w.points_avail := w.points_avail + coalesce(m.d_avail, 0);
  UPDATE vault.wallet x
  SET seq = w.seq, points_avail = w.points_avail, lot_expiry = coalesce(m.lot_expiry, x.lot_expiry), lot_points = coalesce(m.lot_points, x.lot_points)
  WHERE x.b = w.b AND x.owner = w.owner;
  INSERT INTO vault.journal (b, owner, id, seq, op, st, d_avail, d_held, d_peer, c_stock, c_out, c_used, c_gone, f_budget, f_reserved,
    f_payable, peer, avail_after, held_after, terms, ref, takes, lots, detail, hash, at)
  VALUES (w.b, w.owner, i.id, w.seq, i.op, m.st, m.d_avail, CASE WHEN m.d_avail IS NOT NULL THEN 0 END, m.d_peer,
    m.c_stock, m.c_out, m.c_used, m.c_gone, m.f_budget, m.f_reserved, m.f_payable, m.peer, w.points_avail, w.points_held,
    coalesce(m.terms, i.terms), m.ref, m.takes, m.lots, m.detail, i.hash, p_at)
  RETURNING * INTO j;
  RETURN j;
END $$;

-- One item, in the order of D6: lock wallet, replay look-up, id window, decide, take, write.
CREATE FUNCTION vault.post_one(i vault.item, p_internal boolean, OUT status smallint, OUT replayed boolean, OUT answer jsonb)
LANGUAGE plpgsql AS $$
DECLARE
  w vault.wallet;
  j vault.journal;
  m vault.movement;
  r vault.redemption;
  v_at timestamptz;
BEGIN
  replayed := false;
  IF i.owner IS NULL OR i.b IS DISTINCT FROM (i.owner & 1023) THEN
    status := CASE i.op WHEN 20 THEN 20 WHEN 4 THEN 38 ELSE 5 END;
    RETURN;
  END IF;
  SELECT * INTO w FROM vault.wallet x WHERE x.b = i.b AND x.owner = i.owner FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    status := 4;
    RETURN;
  END IF;
  v_at := vault.now();
  IF i.op = 20 THEN
    SELECT x.st, x.answer INTO status, answer FROM vault.op_claim_credential(w, i, v_at) x;
    RETURN;
  END IF;
  IF i.op = 4 THEN
    SELECT * INTO r FROM vault.redemption x WHERE x.b = w.b AND x.id = i.redemption;
    IF NOT FOUND OR r.merchant_id IS DISTINCT FROM i.merchant THEN
      status := 38;
      RETURN;
    ELSIF r.store_id IS DISTINCT FROM i.store THEN
      status := 41;
      RETURN;
    END IF;
    i.id := r.void_id;
  END IF;

  SELECT * INTO j FROM vault.journal x WHERE x.b = i.b AND x.owner = i.owner AND x.id = i.id;
  IF FOUND THEN
    status := CASE WHEN j.hash IS DISTINCT FROM i.hash OR j.op <> i.op THEN 2 ELSE j.st END;
    IF status <> 2 THEN
      replayed := true;
      answer := vault.answer_of(j);
    END IF;
    RETURN;
  END IF;

  IF i.id IS NULL OR i.hash IS NULL THEN
    status := 5;
  ELSIF vault.id_version(i.id) <> (CASE WHEN p_internal THEN 8 ELSE 7 END) THEN
    status := 6;
  ELSIF NOT p_internal AND i.op <> 4 AND vault.id_time(i.id) NOT BETWEEN v_at - interval '48 hours' AND v_at + interval '5 minutes' THEN
    status := 3;
  ELSIF NOT EXISTS (SELECT FROM vault.journal_month x WHERE x.lower_id <= i.id AND x.upper_id > i.id) THEN
    status := 3;
  END IF;
  IF status IS NOT NULL THEN
    RETURN;
  END IF;

  CASE i.op
    WHEN 1 THEN m := vault.op_earn(w, i, v_at);
    WHEN 2 THEN m := vault.op_claim(w, i, v_at);
    WHEN 3 THEN m := vault.op_redeem(w, i, v_at);
    WHEN 4 THEN m := vault.op_void(w, i, v_at, r);
    WHEN 5 THEN m := vault.op_expire_coupon(w, i, v_at);
    WHEN 6 THEN m := vault.op_release_subsidy(w, i, v_at);
  END CASE;
  status := m.st;
  -- Short of points (10) is the one refusal that must stay a refusal: it is written, moving nothing.
  IF status IN (0, 10) THEN
    j := vault.apply_movement(w, i, m, v_at);
    answer := vault.answer_of(j);
  ELSIF status = 11 THEN
    answer := m.detail;
  END IF;
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
LANGUAGE plpgsql SET search_path = vault, pg_temp AS $$
DECLARE
  v_items vault.item[];
  i vault.item;
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
  IF cardinality(v_items) > 1 THEN
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
    n := i.n;
    answer := NULL;
    IF i.op = ANY (v_allowed) THEN
      SELECT x.status, x.replayed, x.answer INTO status, replayed, answer FROM vault.post_one(i, p_internal) x;
    ELSE
      status := 6;
      replayed := false;
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;

-- The application's door: claims, redemptions, voids and scans, under ids the client made (version 7).
CREATE FUNCTION vault.post_batch(p_items jsonb, p_lane smallint)
RETURNS TABLE (n integer, status smallint, replayed boolean, answer jsonb)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = vault, pg_temp
AS $$SELECT * FROM vault.post(p_items, p_lane, false)$$;

-- The worker's door: earning, expiry and releases, under ids made from the business event (version 8). Neither door takes the other's ids.
CREATE FUNCTION vault.post_internal(p_items jsonb, p_lane smallint)
RETURNS TABLE (n integer, status smallint, replayed boolean, answer jsonb)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = vault, pg_temp
AS $$SELECT * FROM vault.post(p_items, p_lane, true)$$;
