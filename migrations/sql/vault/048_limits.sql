-- What an operation may use up: its two slots, and each person's allowances. Nothing is read here; see `vault.facts`.

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
