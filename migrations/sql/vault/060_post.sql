-- Posting: the one way value moves.
--
--   post_batch ────┐                                ┌──────────────── per round ──────────────────┐
--                  ├─ read items ─ resolve ─ lock ──┴─ read facts ── decide, item by item ── write ─┴─ write slots
--   post_internal ─┘  (and rounds)  (slots)  wallets,  (one statement)   (no table)     (each table once)
--                                            slots
--
-- Wallets are locked in key order, then slots in key order, so two batches cannot wait for each other in a circle (D7). A round
-- holds at most one item of a resident; a resident's second item is decided in the next round and finds what the first one did.

-- Writes a round's postings, each table once: a statement's set-up costs more than its rows. NULL: none of these.
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
  IF p_new IS NOT NULL THEN
    INSERT INTO vault.coupon SELECT * FROM unnest(p_new);
  END IF;
  IF p_redemptions IS NOT NULL THEN
    INSERT INTO vault.redemption_ref SELECT x.id, x.b, x.owner FROM unnest(p_redemptions) x;
    INSERT INTO vault.redemption SELECT * FROM unnest(p_redemptions);
    UPDATE vault.credential c SET state = 'redeemed' FROM unnest(p_redemptions) x WHERE c.b = x.b AND c.id = x.credential_id AND c.owner = x.owner AND c.redemption_id = x.id;
  END IF;
  IF p_voided IS NOT NULL THEN
    INSERT INTO vault.redemption_void SELECT * FROM unnest(p_voided);
  END IF;
  IF p_changed IS NOT NULL THEN
    UPDATE vault.coupon c
    SET state = x.state, expires_on = x.expires_on, reserved_fen = x.reserved_fen, redemption_id = x.redemption_id, lock_id = x.lock_id,
      locked_until = x.locked_until
    FROM unnest(p_changed) x WHERE c.b = x.b AND c.owner = x.owner AND c.id = x.id;
  END IF;
END $$;

CREATE FUNCTION vault.write_holds(p_new vault.hold[], p_closed vault.hold[], p_refunded vault.refunded[], p_allowances vault.allowance[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF p_new IS NOT NULL THEN
    INSERT INTO vault.hold SELECT * FROM unnest(p_new);
  END IF;
  IF p_closed IS NOT NULL THEN
    DELETE FROM vault.hold h USING unnest(p_closed) x WHERE h.b = x.b AND h.owner = x.owner AND h.id = x.id;
  END IF;
  IF p_refunded IS NOT NULL THEN
    INSERT INTO vault.refunded SELECT * FROM unnest(p_refunded)
    ON CONFLICT (b, owner, ref) DO UPDATE SET done = excluded.done, renewed_until = excluded.renewed_until;
  END IF;
  IF p_allowances IS NOT NULL THEN
    INSERT INTO vault.allowance AS a SELECT x.b, x.owner, x.limit_id, x.period_start, x.used FROM unnest(p_allowances) x WHERE x.used > 0
    ON CONFLICT (b, owner, limit_id, period_start) DO UPDATE SET used = a.used + excluded.used;
    UPDATE vault.allowance a SET used = a.used + x.used FROM unnest(p_allowances) x
    WHERE x.used < 0 AND a.b = x.b AND a.owner = x.owner AND a.limit_id = x.limit_id AND a.period_start = x.period_start;
  END IF;
END $$;

-- A budget whose rest is gathered in one slot 0, with nothing in reserve and nothing given back to another slot, holds what this slot
-- holds: an item that found it too low, and has it locked, need not ask for a refill to know that the budget is sold out. With
-- several cells a node does not see what the others hold: there only a refill can tell.
CREATE FUNCTION vault.is_exhausted(p_slot vault.slot) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN p_slot.slot = 0
    AND EXISTS (SELECT FROM vault.budget g WHERE g.budget = p_slot.budget AND g.gathered AND g.reserve = 0 AND g.cells = 1)
    AND NOT EXISTS (SELECT FROM vault.slot s WHERE s.pb = p_slot.pb AND s.budget = p_slot.budget AND s.slot > 0 AND s.avail > 0);
END $$;

-- Decides and writes one round; `p_slots` comes back with what was taken and given back. `p_budgets`: whose slots they are.
CREATE FUNCTION vault.post_round(p_items vault.item[], p_round integer, p_internal boolean, p_points_only boolean, p_budgets bigint[],
  INOUT p_slots vault.slot[], OUT p_replies vault.reply[]) LANGUAGE plpgsql AS $$
DECLARE
  v_at timestamptz := vault.now();
  v_low uuid;
  v_high uuid;
  v_facts refcursor;
  f vault.facts;
  o vault.outcome;
  v_budget bigint;
  v_place integer;
  v_allowed smallint[] := CASE WHEN p_internal THEN '{1,2,5,6,7,11,13,15}' ELSE '{2,3,4,8,9,10,11,12,14,15,16,17,18,20}' END;
  v_wallets vault.wallet[];
  v_journal vault.journal[];
  v_new vault.coupon[];
  v_changed vault.coupon[];
  v_redemptions vault.redemption[];
  v_voided vault.redemption_void[];
  v_holds vault.hold[];
  v_closed vault.hold[];
  v_refunded vault.refunded[];
  v_allowances vault.allowance[];
  v_scans vault.scan[];
BEGIN
  FOR k IN 1..cardinality(p_items) LOOP
    v_low := least(v_low, p_items[k].id);
    v_high := greatest(v_high, p_items[k].id);
  END LOOP;
  IF p_points_only THEN
    OPEN v_facts FOR SELECT * FROM vault.read_points_facts(p_items, p_round, v_low, v_high);
  ELSE
    OPEN v_facts FOR SELECT * FROM vault.read_facts(p_items, p_round, vault.city_day(v_at), v_low, v_high);
  END IF;
  LOOP
    FETCH v_facts INTO f;
    EXIT WHEN NOT FOUND;
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
      IF (f.i).budget_a IS NOT NULL THEN
        f.a_at := array_position(p_budgets, (f.i).budget_a);
        f.a := p_slots[f.a_at];
        IF (f.i).budget_b IS NOT NULL THEN
          f.b_at := array_position(p_budgets, (f.i).budget_b);
          f.bb := p_slots[f.b_at];
        END IF;
      END IF;
      IF (f.i).counters IS NOT NULL THEN
        FOREACH v_budget IN ARRAY (f.i).counters LOOP
          f.cs := array_append(f.cs, p_slots[array_position(p_budgets, v_budget)]);
        END LOOP;
      END IF;
      IF (f.i).op = 3 AND (f.i).lock IS NOT NULL THEN
        IF EXISTS (SELECT FROM vault.redemption_ref d WHERE d.redemption_id = (f.i).id AND (d.b, d.owner) <> ((f.i).b, (f.i).owner)) THEN
          f.i.id := NULL;  -- somebody else's redemption has this id
        END IF;
      ELSIF (f.i).op IN (5, 6, 16) AND f.a_at IS NULL THEN
        f.c := NULL;  -- claimed after this call was resolved: its slots are not locked, so it is not there yet
      END IF;
      IF (f.i).op IN (3, 20) THEN
        IF (f.i).order_no IS NOT NULL THEN
          f.o := vault.read_order(f.i, (f.t).stacking_group);
        END IF;
        IF cardinality((f.t).windows) > 0 THEN
          f.day_kind := vault.kind_of_day(vault.city_day(v_at));
        END IF;
      END IF;
      o := vault.decide(f, v_at, p_internal);
      IF o.status = 11 AND o.answer ? 'budget' AND vault.is_exhausted(p_slots[array_position(p_budgets, (o.answer ->> 'budget')::bigint)]) THEN
        o.status := CASE WHEN o.answer ? 'limit' THEN 14 ELSE 12 END;
        o.answer := o.answer -> 'limit';
      END IF;
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
      FOR k IN 1..coalesce(cardinality((o.m).counted), 0) LOOP
        IF (o.m).counted[k] <> 0 THEN
          v_place := array_position(p_budgets, (f.i).counters[k]);
          p_slots[v_place].avail := p_slots[v_place].avail - (o.m).counted[k];
        END IF;
      END LOOP;
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
  CLOSE v_facts;
  IF v_journal IS NOT NULL THEN
    PERFORM vault.write_postings(v_wallets, v_journal);
    IF v_new IS NOT NULL OR v_changed IS NOT NULL THEN
      PERFORM vault.write_coupons(v_new, v_changed, v_redemptions, v_voided);
    END IF;
    IF num_nonnulls(v_holds, v_closed, v_refunded, v_allowances) > 0 THEN
      PERFORM vault.write_holds(v_holds, v_closed, v_refunded, v_allowances);
    END IF;
  END IF;
  IF v_scans IS NOT NULL THEN
    PERFORM vault.write_scans(v_scans);
  END IF;
END $$;

CREATE FUNCTION vault.post(p_b smallint, p_items jsonb, p_lane smallint, p_internal boolean) RETURNS vault.reply[] LANGUAGE plpgsql AS $$
DECLARE
  v_items vault.item[] := vault.read_items(p_items, p_b);
  v_slots vault.slot[];
  v_budgets bigint[];
  v_replies vault.reply[] := '{}';
  v_round integer := 0;
  v_resolves boolean := false;
  v_points_only boolean := true;
  r record;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'the vault posts at READ COMMITTED only' USING ERRCODE = 'invalid_transaction_state';
  END IF;
  IF (p_b BETWEEN 0 AND 1023 AND p_lane >= 0 AND coalesce(cardinality(v_items), 0) <= 1024) IS NOT TRUE THEN
    RAISE EXCEPTION 'a call has a bucket, a lane and at most 1024 items' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  FOR k IN 1..coalesce(cardinality(v_items), 0) LOOP
    v_resolves := v_resolves OR v_items[k].op IN (1, 2, 4, 5, 6, 16) OR v_items[k].op = 3 AND v_items[k].counted IS TRUE;
    v_points_only := v_points_only AND v_items[k].op IN (7, 8, 9, 10, 11, 12, 13, 17, 18);
  END LOOP;
  IF v_resolves THEN
    v_items := vault.resolve(v_items, p_lane);
  END IF;
  PERFORM FROM unnest(v_items) x JOIN vault.wallet w ON w.b = x.b AND w.owner = x.owner
  ORDER BY w.b, w.owner FOR NO KEY UPDATE OF w;
  IF v_resolves THEN
    SELECT array_agg(ROW(s.pb, s.budget, s.slot, s.avail, s.open)::vault.slot), array_agg(s.budget) INTO v_slots, v_budgets FROM (
      SELECT s.pb, s.budget, s.slot, s.avail, s.open FROM vault.slot s
      JOIN (SELECT x.budget_a AS budget, x.slot_a AS slot FROM unnest(v_items) x WHERE x.budget_a IS NOT NULL
            UNION SELECT x.budget_b, x.slot_b FROM unnest(v_items) x WHERE x.budget_b IS NOT NULL
            UNION SELECT unnest(x.counters), unnest(x.counter_slots) FROM unnest(v_items) x WHERE x.counters IS NOT NULL) k
        ON s.pb = vault.cell(p_b) AND k.budget = s.budget AND k.slot = s.slot
      ORDER BY s.pb, s.budget, s.slot FOR NO KEY UPDATE OF s) s;
  END IF;
  WHILE cardinality(v_replies) < cardinality(v_items) LOOP
    v_round := v_round + 1;
    r := vault.post_round(v_items, v_round, p_internal, v_points_only, v_budgets, v_slots);
    v_slots := r.p_slots;
    v_replies := v_replies || r.p_replies;
  END LOOP;
  IF v_slots IS NOT NULL THEN
    UPDATE vault.slot s SET avail = x.avail FROM unnest(v_slots) x
    WHERE s.pb = x.pb AND s.budget = x.budget AND s.slot = x.slot AND s.avail <> x.avail;
  END IF;
  RETURN v_replies;
END $$;

-- Both doors have every statement inside planned once per connection, and always by index: planning anew for each batch's arrays
-- would cost more than running them, and a plan made while a table was small must still be right when it is large.

-- `p_b` is a bucket of the node on which every item of the call lies: whoever distributes the vault sends the call there. An item
-- of another cell is refused as invalid (5), the others go on.

-- The application's door, under ids the client made (version 7).
CREATE FUNCTION vault.post_batch(p_b smallint, p_items jsonb, p_lane smallint)
RETURNS TABLE (n integer, status smallint, replayed boolean, answer jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET timezone = 'UTC' AS $$
BEGIN
  RETURN QUERY SELECT x.* FROM unnest(vault.post(p_b, p_items, p_lane, false)) x ORDER BY x.n;
END $$;

-- The worker's door: what jobs do, under ids made from the business event (version 8). Neither door takes the other's ids.
CREATE FUNCTION vault.post_internal(p_b smallint, p_items jsonb, p_lane smallint)
RETURNS TABLE (n integer, status smallint, replayed boolean, answer jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET timezone = 'UTC' AS $$
BEGIN
  RETURN QUERY SELECT x.* FROM unnest(vault.post(p_b, p_items, p_lane, true)) x ORDER BY x.n;
END $$;
