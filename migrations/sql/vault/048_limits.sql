-- What an operation may use up: its two slots, each person's allowances, and counters of places. Nothing is read here; see `vault.facts`.

-- Whether the amounts can be taken from the item's slots now: 0, 13 (closed) or 11 (a slot must be refilled first; the detail says
-- which budget and for what amount). Amounts of 0 are not taken.
CREATE FUNCTION vault.check_slots(f vault.facts, p_amount_a bigint, p_amount_b bigint) RETURNS vault.movement
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  m vault.movement;
BEGIN
  m.st := 0;
  IF p_amount_a > 0 AND (f.a).open IS NOT TRUE OR p_amount_b > 0 AND (f.bb).open IS NOT TRUE THEN
    m.st := 13;
  ELSIF p_amount_a > 0 AND (f.a).avail < p_amount_a THEN
    m.st := 11;
    m.detail := jsonb_build_object('budget', (f.a).budget, 'amount', p_amount_a);
  ELSIF p_amount_b > 0 AND (f.bb).avail < p_amount_b THEN
    m.st := 11;
    m.detail := jsonb_build_object('budget', (f.bb).budget, 'amount', p_amount_b);
  END IF;
  m.take_a := p_amount_a;
  m.take_b := p_amount_b;
  RETURN m;
END $$;

-- Counts an action against each of its limits (D17). `reached`: one of them would be passed. `used` is in the order of the limits.
-- A negative sign gives back, and never reaches anything.
CREATE FUNCTION vault.count_limits(limits vault.person_limit[], used bigint[], p_action text, p_owner bigint, p_day date, p_sign integer,
  p_points bigint, p_fen bigint, OUT reached boolean, OUT allowances vault.allowance[])
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  l vault.person_limit;
  v_amount bigint;
BEGIN
  reached := false;
  FOR k IN 1..cardinality(limits) LOOP
    l := limits[k];
    CONTINUE WHEN l.action <> p_action;
    v_amount := CASE l.measure WHEN 'count' THEN 1 WHEN 'points' THEN p_points ELSE p_fen END;
    CONTINUE WHEN v_amount = 0;
    IF p_sign > 0 AND coalesce(used[k], 0) + v_amount > l.cap THEN
      reached := true;
      RETURN;
    END IF;
    allowances := coalesce(allowances, '{}') ||
      ROW((p_owner & 1023)::smallint, p_owner, l.limit_id, vault.period_start(l.period, p_day), p_sign * v_amount)::vault.allowance;
  END LOOP;
END $$;

-- Counts an action against the counters of its places (D17), all of them or none: 0 with what it takes from each, 13 (closed) or 11.
-- The detail of 11 says what is wanted before the item is sent again: `again`, that the counters of this day be looked for; `missing`,
-- counters to be opened; or the budget to be refilled, and of which limit it is.
CREATE FUNCTION vault.check_counters(f vault.facts, limits vault.scoped_limit[], p_action text, p_day date, p_points bigint, p_face_fen bigint,
  p_fen bigint) RETURNS vault.movement LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  m vault.movement;
  l vault.scoped_limit;
  s vault.slot;
  n integer := 0;
  v_amount bigint;
  v_limit jsonb;
  v_low jsonb;
  v_missing jsonb;
BEGIN
  m.st := 0;
  FOREACH l IN ARRAY limits LOOP
    CONTINUE WHEN l.action <> p_action;
    n := n + 1;
    IF (f.i).counted_on IS DISTINCT FROM p_day THEN
      m.st := 11;
      m.detail := '{"again": true}';
      RETURN m;
    END IF;
    v_amount := CASE l.measure WHEN 'count' THEN 1 WHEN 'points' THEN p_points WHEN 'fen' THEN p_fen ELSE p_face_fen END;
    m.counted := m.counted || v_amount;
    CONTINUE WHEN v_amount = 0;
    s := f.cs[n];
    v_limit := jsonb_build_object('limit_id', l.limit_id, 'place', (f.i).places[n], 'period_start', vault.period_start(l.period, p_day));
    IF s.budget IS NULL THEN
      v_missing := coalesce(v_missing, '[]') || v_limit;
    ELSIF s.open IS NOT TRUE THEN
      m.st := 13;
      RETURN m;
    ELSIF s.avail < v_amount AND v_low IS NULL THEN
      v_low := jsonb_build_object('budget', s.budget, 'amount', v_amount, 'limit', v_limit);
    END IF;
  END LOOP;
  IF v_missing IS NOT NULL THEN
    v_low := jsonb_build_object('missing', v_missing);
  END IF;
  IF v_low IS NOT NULL THEN
    m.st := 11;
    m.detail := v_low;
  END IF;
  RETURN m;
END $$;

-- What was taken from counters, as a redemption keeps it for its void.
CREATE FUNCTION vault.counted_of(p_counters bigint[], p_counted bigint[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_agg(jsonb_build_array(x.budget, x.amount) ORDER BY x.k)
  FROM unnest(p_counters, p_counted) WITH ORDINALITY x (budget, amount, k) WHERE x.amount <> 0
$$;
