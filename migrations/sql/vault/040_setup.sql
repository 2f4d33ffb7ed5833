-- What must stand before value moves: wallets, budgets, terms, acceptors, credentials. Each is one call, safe to repeat.

CREATE FUNCTION vault.open_wallet(p_b smallint, p_owner bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
BEGIN
  PERFORM vault.check_bucket(p_b, p_owner);
  INSERT INTO vault.wallet (b, owner) VALUES (p_b, p_owner) ON CONFLICT DO NOTHING;
END $$;

-- Log-out everywhere: every credential issued before is dead from here on.
CREATE FUNCTION vault.bump_epoch(p_b smallint, p_owner bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
BEGIN
  PERFORM vault.check_bucket(p_b, p_owner);
  UPDATE vault.wallet SET epoch = epoch + 1 WHERE b = p_b AND owner = p_owner;
END $$;

-- Gives a budget its slots in every cell there is now; what is new is empty, and open when the others are. Returns the cells.
CREATE FUNCTION vault.add_slots(p_budget bigint) RETURNS smallint[]
LANGUAGE plpgsql SET search_path = vault, pg_temp AS $$
DECLARE
  v_cells smallint[];
BEGIN
  SELECT array_agg(DISTINCT vault.cell(b::smallint)) INTO v_cells FROM generate_series(0, 1023) b;
  INSERT INTO vault.slot (pb, budget, slot, open)
  SELECT c, g.budget, n, coalesce((SELECT bool_and(s.open) FROM vault.slot s WHERE s.budget = g.budget), false)
  FROM vault.budget g, unnest(v_cells) c, generate_series(0, g.slots - 1) n WHERE g.budget = p_budget
  ON CONFLICT DO NOTHING;
  RETURN v_cells;
END $$;

-- Returns false when the budget exists with another unit. Numbers below zero are the counters'.
CREATE FUNCTION vault.create_budget(p_budget bigint, p_unit text, p_slots smallint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  v_cells smallint[];
BEGIN
  IF (p_budget > 0) IS NOT TRUE THEN
    RETURN false;
  END IF;
  INSERT INTO vault.budget (budget, unit, slots) VALUES (p_budget, p_unit, p_slots) ON CONFLICT DO NOTHING;
  IF FOUND THEN
    v_cells := vault.add_slots(p_budget);
    UPDATE vault.budget SET cells = cardinality(v_cells) WHERE budget = p_budget;
  END IF;
  RETURN EXISTS (SELECT FROM vault.budget WHERE budget = p_budget AND unit = p_unit);
END $$;

-- Pause and kill switch: a closed slot refuses debits; returns always fit (D2).
CREATE FUNCTION vault.set_budget_open(p_budget bigint, p_open boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
BEGIN
  PERFORM FROM vault.slot WHERE budget = p_budget ORDER BY pb, budget, slot FOR NO KEY UPDATE;
  UPDATE vault.slot SET open = p_open WHERE budget = p_budget AND budget > 0;
  RETURN FOUND;
END $$;

-- Lays the whole of a budget out again over the cells there are now; the caller holds its locks. Half is leased to the slots of all
-- cells and half stays in the reserve. A budget that is nearly gone is gathered in slots 0, so that the last units can be taken
-- whole, and a counter sooner, as whole batches meet it while it is small; what is gathered stays so until it holds much more, lest
-- one process spreads what another has gathered for its crowd. In equal parts while a part is enough for `p_amount`, and what is less than that in the cell that asks, `p_pb`.
CREATE FUNCTION vault.lay_out(p_budget bigint, p_total bigint, p_amount bigint, p_pb smallint) RETURNS void
LANGUAGE plpgsql SET search_path = vault, pg_temp AS $$
DECLARE
  v_cells smallint[] := vault.add_slots(p_budget);
  n integer := cardinality(v_cells);
  v_slots integer;
  v_times integer;
  v_gather boolean;
  v_share bigint;
BEGIN
  SELECT n * b.slots, CASE WHEN p_budget < 0 OR b.gathered THEN 64 ELSE 4 END INTO v_slots, v_times FROM vault.budget b WHERE b.budget = p_budget;
  v_gather := p_total / (v_times * v_slots) < greatest(p_amount, 1);
  v_share := CASE WHEN NOT v_gather THEN p_total / 2 / v_slots WHEN p_total / n >= p_amount THEN p_total / n ELSE 0 END;
  UPDATE vault.slot SET avail = CASE
    WHEN pb <> ALL (v_cells) OR v_gather AND slot > 0 THEN 0
    WHEN v_gather AND pb = p_pb THEN p_total - v_share * (n - 1)
    ELSE v_share END
  WHERE budget = p_budget;
  UPDATE vault.budget SET gathered = v_gather, cells = n, reserve = CASE WHEN v_gather THEN 0 ELSE p_total - v_share * v_slots END
  WHERE budget = p_budget;
END $$;

-- Locks budgets: the slots of all in the order in which postings lock theirs, then their reserves (D7). Who changes several locks them
-- all by one call, before anything else of them.
CREATE FUNCTION vault.lock_budgets(p_budgets bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = vault, pg_temp AS $$
BEGIN
  PERFORM FROM vault.slot WHERE budget = ANY (p_budgets) ORDER BY pb, budget, slot FOR NO KEY UPDATE;
  PERFORM FROM vault.budget WHERE budget = ANY (p_budgets) ORDER BY budget FOR NO KEY UPDATE;
END $$;

-- Locks a budget and returns its exact remaining total; NULL when there is no such budget.
CREATE FUNCTION vault.lock_budget(p_budget bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = vault, pg_temp AS $$
DECLARE
  v_total bigint;
BEGIN
  PERFORM vault.lock_budgets(ARRAY[p_budget]);
  SELECT b.reserve + (SELECT coalesce(sum(s.avail), 0) FROM vault.slot s WHERE s.budget = p_budget)
  INTO v_total FROM vault.budget b WHERE b.budget = p_budget;
  RETURN v_total;
END $$;

-- Moves a budget's units between its slots and its reserve so that `p_amount` can be taken in the cell of bucket `p_b`; its total
-- does not change (D4). Returns the remaining total: less than the amount means sold out in every cell.
CREATE FUNCTION vault.rebalance(p_budget bigint, p_amount bigint, p_b smallint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  v_total bigint := vault.lock_budget(p_budget);
  v_after bigint;
BEGIN
  IF v_total IS NULL OR (p_amount BETWEEN 1 AND 1000000000000000 AND p_b BETWEEN 0 AND 1023) IS NOT TRUE THEN
    RETURN NULL;
  END IF;
  PERFORM vault.lay_out(p_budget, v_total, p_amount, vault.cell(p_b));
  SELECT b.reserve + (SELECT sum(s.avail) FROM vault.slot s WHERE s.budget = p_budget)
  INTO v_after FROM vault.budget b WHERE b.budget = p_budget;
  IF v_after IS DISTINCT FROM v_total THEN
    RAISE EXCEPTION 'rebalance of budget % changed its total from % to %', p_budget, v_total, v_after;
  END IF;
  RETURN v_total;
END $$;

-- Top-up or cut (D5). Answers: 'done', 'replayed', 'mismatch', 'unknown', 'same_person', 'too_large', 'invalid'.
CREATE FUNCTION vault.put_budget_entry(
  p_budget bigint, p_id uuid, p_kind text, p_amount bigint, p_actor bigint, p_approver bigint, p_document text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  v_total bigint;
  v_old vault.budget_entry;
BEGIN
  IF (p_budget > 0 AND p_id IS NOT NULL AND p_amount BETWEEN 1 AND 1000000000000000 AND p_kind IN ('topup', 'cut') AND length(p_document) BETWEEN 1 AND 100) IS NOT TRUE THEN
    RETURN 'invalid';
  END IF;
  IF (p_actor <> p_approver) IS NOT TRUE THEN
    RETURN 'same_person';
  END IF;
  v_total := vault.lock_budget(p_budget);
  IF v_total IS NULL THEN
    RETURN 'unknown';
  END IF;
  SELECT * INTO v_old FROM vault.budget_entry e WHERE e.budget = p_budget AND e.id = p_id;
  IF FOUND THEN
    RETURN CASE WHEN (v_old.kind, v_old.amount, v_old.actor, v_old.approver, v_old.document)
                   = (p_kind, p_amount, p_actor, p_approver, p_document) THEN 'replayed' ELSE 'mismatch' END;
  END IF;
  IF p_kind = 'cut' AND p_amount > v_total THEN
    RETURN 'too_large';
  END IF;
  PERFORM vault.lay_out(p_budget, CASE p_kind WHEN 'topup' THEN v_total + p_amount ELSE v_total - p_amount END, 1,
    vault.cell(0::smallint));
  INSERT INTO vault.budget_entry (budget, id, kind, amount, actor, approver, document)
  VALUES (p_budget, p_id, p_kind, p_amount, p_actor, p_approver, p_document);
  RETURN 'done';
END $$;

-- Terms: written once; the same content again is a no-op (true); other content under the same id, or a budget that is unknown or
-- of another unit than the terms take from it, is refused (false).
CREATE FUNCTION vault.put_earn_terms(p_terms jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  v_new vault.earn_terms := jsonb_populate_record(NULL::vault.earn_terms, p_terms);
  v_old vault.earn_terms;
BEGIN
  IF NOT EXISTS (SELECT FROM vault.budget g WHERE g.budget = v_new.points_budget AND g.unit = 'points') THEN
    RETURN false;
  END IF;
  v_new.person_limits := vault.named_limits(v_new.person_limits);
  v_new.scoped_limits := vault.named_limits(v_new.scoped_limits);
  INSERT INTO vault.earn_terms SELECT v_new.* ON CONFLICT DO NOTHING;
  IF FOUND THEN
    PERFORM vault.put_caps(v_new.scoped_limits, 'earn_terms:' || v_new.terms);
  END IF;
  SELECT * INTO v_old FROM vault.earn_terms t WHERE t.terms = v_new.terms;
  RETURN v_old IS NOT DISTINCT FROM v_new;
END $$;

CREATE FUNCTION vault.put_coupon_terms(p_terms jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  v_new vault.coupon_terms := jsonb_populate_record(NULL::vault.coupon_terms, p_terms);
  v_old vault.coupon_terms;
BEGIN
  IF NOT EXISTS (SELECT FROM vault.budget g WHERE g.budget = v_new.stock_budget AND g.unit = 'coupons')
     OR v_new.fen_budget IS NOT NULL
        AND NOT EXISTS (SELECT FROM vault.budget g WHERE g.budget = v_new.fen_budget AND g.unit = 'fen') THEN
    RETURN false;
  END IF;
  v_new.person_limits := vault.named_limits(v_new.person_limits);
  v_new.scoped_limits := vault.named_limits(v_new.scoped_limits);
  INSERT INTO vault.coupon_terms SELECT v_new.* ON CONFLICT DO NOTHING;
  IF FOUND THEN
    PERFORM vault.put_caps(v_new.scoped_limits, 'coupon_terms:' || v_new.terms);
  END IF;
  SELECT * INTO v_old FROM vault.coupon_terms t WHERE t.terms = v_new.terms;
  RETURN coalesce(v_old IS NOT DISTINCT FROM v_new, false);
END $$;

CREATE FUNCTION vault.set_acceptor(p_kind text, p_id bigint, p_merchant bigint, p_store bigint, p_open boolean, p_town text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
  INSERT INTO vault.acceptor (kind, id, merchant_id, store_id, open, town) VALUES (p_kind, p_id, p_merchant, p_store, p_open, p_town)
  ON CONFLICT (kind, id) DO UPDATE
  SET merchant_id = excluded.merchant_id, store_id = excluded.store_id, open = excluded.open, town = excluded.town
$$;

-- Issues showings of a coupon: one credential and one directory row per handle. `handles` were drawn by the caller; one that is
-- taken is left out of the answer, and the caller draws again. Answers status 36 when the coupon cannot be shown.
CREATE FUNCTION vault.issue_credentials(p_b smallint, p_owner bigint, p_coupon uuid, p_ids uuid[], p_handles bigint[], p_ttls_s integer[])
RETURNS TABLE (status smallint, credential_id uuid, handle bigint, expires_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  v_wallet vault.wallet;
  v_coupon vault.coupon;
  v_now timestamptz := vault.now();
BEGIN
  PERFORM vault.check_bucket(p_b, p_owner);
  SELECT * INTO v_wallet FROM vault.wallet w WHERE w.b = p_b AND w.owner = p_owner FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN QUERY SELECT 4::smallint, NULL::uuid, NULL::bigint, NULL::timestamptz;
    RETURN;
  END IF;
  SELECT * INTO v_coupon FROM vault.coupon c WHERE c.b = p_b AND c.owner = p_owner AND c.id = p_coupon;
  IF NOT FOUND OR vault.state_of(v_coupon, v_now) <> 'issued' THEN
    RETURN QUERY SELECT 36::smallint, NULL::uuid, NULL::bigint, NULL::timestamptz;
    RETURN;
  ELSIF v_coupon.expires_on < (v_now AT TIME ZONE vault.zone())::date THEN
    RETURN QUERY SELECT 35::smallint, NULL::uuid, NULL::bigint, NULL::timestamptz;
    RETURN;
  END IF;
  FOR i IN 1..cardinality(p_ids) LOOP
    INSERT INTO vault.credential_handle AS h VALUES (p_handles[i], p_b, p_owner, p_ids[i], v_now + make_interval(secs => p_ttls_s[i]))
    ON CONFLICT DO NOTHING;
    CONTINUE WHEN NOT FOUND;
    INSERT INTO vault.credential (b, id, owner, epoch, coupon_id, handle, issued_at, expires_at)
    VALUES (p_b, p_ids[i], p_owner, v_wallet.epoch, p_coupon, p_handles[i], v_now, v_now + make_interval(secs => p_ttls_s[i]));
    RETURN QUERY SELECT 0::smallint, p_ids[i], p_handles[i], v_now + make_interval(secs => p_ttls_s[i]);
  END LOOP;
END $$;

-- The resident's phone saw a screenshot or left the page: an open showing dies. Returns whether one did.
CREATE FUNCTION vault.burn_credential(p_b smallint, p_owner bigint, p_id uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
BEGIN
  PERFORM vault.check_bucket(p_b, p_owner);
  PERFORM FROM vault.wallet w WHERE w.b = p_b AND w.owner = p_owner FOR NO KEY UPDATE;
  UPDATE vault.credential c SET state = 'burnt'
  WHERE c.b = p_b AND c.id = p_id AND c.owner = p_owner AND c.state = 'open';
  RETURN FOUND;
END $$;
