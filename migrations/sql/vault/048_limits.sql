-- What an operation may use up: slots of budgets, and each person's allowances.

-- Checks and takes one amount from each of one or two budgets. Slots are locked in order, all are checked before one is taken.
-- Answers status 0, 11 (a slot must be refilled first: `refill` says which budget and for what amount) or 13 (closed).
-- An amount of 0 is not taken.
CREATE FUNCTION vault.take_slots(p_pb smallint, p_budget_a bigint, p_slot_a smallint, p_amount_a bigint,
  p_budget_b bigint, p_slot_b smallint, p_amount_b bigint, OUT st smallint, OUT takes jsonb, OUT refill jsonb)
LANGUAGE plpgsql AS $$
DECLARE
  s record;
  v_b_too boolean := p_budget_b IS NOT NULL AND p_amount_b > 0;
BEGIN
  st := 0;
  takes := '[]';
  FOR s IN
    SELECT x.budget, x.slot, x.avail, x.open, CASE WHEN x.budget = p_budget_a THEN p_amount_a ELSE p_amount_b END AS amount
    FROM vault.slot x
    WHERE x.pb = p_pb AND (x.budget = p_budget_a AND x.slot = p_slot_a OR v_b_too AND x.budget = p_budget_b AND x.slot = p_slot_b)
    ORDER BY x.pb, x.budget, x.slot FOR NO KEY UPDATE
  LOOP
    IF NOT s.open THEN
      st := 13;
      RETURN;
    ELSIF s.avail < s.amount THEN
      st := 11;
      refill := jsonb_build_object('budget', s.budget, 'amount', s.amount);
    END IF;
    takes := takes || jsonb_build_array(jsonb_build_array(s.budget, s.slot, s.amount));
  END LOOP;
  IF jsonb_array_length(takes) <> (CASE WHEN v_b_too THEN 2 ELSE 1 END) THEN
    st := 13;
  END IF;
  IF st <> 0 THEN
    RETURN;
  END IF;
  UPDATE vault.slot SET avail = avail - p_amount_a WHERE pb = p_pb AND budget = p_budget_a AND slot = p_slot_a;
  IF v_b_too THEN
    UPDATE vault.slot SET avail = avail - p_amount_b WHERE pb = p_pb AND budget = p_budget_b AND slot = p_slot_b;
  END IF;
END $$;

-- Gives one amount back to the slot it was taken from; returns always fit. The answer is the journal's `takes` entry.
CREATE FUNCTION vault.give_back(p_pb smallint, p_takes jsonb, p_budget bigint, p_amount bigint) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  v_slot smallint;
BEGIN
  IF coalesce(p_amount, 0) = 0 THEN
    RETURN '[]';
  END IF;
  SELECT (t ->> 1)::smallint INTO STRICT v_slot FROM jsonb_array_elements(p_takes) t WHERE (t ->> 0)::bigint = p_budget;
  UPDATE vault.slot SET avail = avail + p_amount WHERE pb = p_pb AND budget = p_budget AND slot = v_slot;
  RETURN jsonb_build_array(jsonb_build_array(p_budget, v_slot, -p_amount));
END $$;

-- One more use of a limit; the cap was decided under the wallet's lock before (D17).
CREATE FUNCTION vault.use_allowance(p_b smallint, p_owner bigint, p_limit text) RETURNS void LANGUAGE sql AS $$
  INSERT INTO vault.allowance AS a (b, owner, limit_id, period_start, used) VALUES (p_b, p_owner, p_limit, 'epoch', 1)
  ON CONFLICT (b, owner, limit_id, period_start) DO UPDATE SET used = a.used + 1
$$;

CREATE FUNCTION vault.allowance_used(p_b smallint, p_owner bigint, p_limit text) RETURNS integer LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT used FROM vault.allowance WHERE b = p_b AND owner = p_owner AND limit_id = p_limit AND period_start = 'epoch'), 0)
$$;
