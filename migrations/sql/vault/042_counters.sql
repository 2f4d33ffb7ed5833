-- Limits at places (D17): a limit at one place in one period is a counter, a budget of its own whose takes are what was counted.
--
--   terms ──put_caps──▶ limit_cap ──open_counter──▶ counter ──▶ budget, slots ◀── postings take, a void gives back

-- What new terms allow from here on. Counters of periods that still run change by the difference, never below what is used. A posting
-- takes from several counters at once, so all of them are locked before the first is changed; that none is opened meanwhile is what
-- the locks on the limits' caps are for.
CREATE FUNCTION vault.put_caps(p_limits vault.scoped_limit[], p_document text) RETURNS void
LANGUAGE plpgsql SET search_path = vault, pg_temp AS $$
DECLARE
  v_counters vault.counter[];
  c vault.counter;
  v_left bigint;
  v_cap bigint;
BEGIN
  INSERT INTO vault.limit_cap SELECT l.limit_id, l.scope, l.measure, l.period, l.cap FROM unnest(p_limits) l ORDER BY l.limit_id
  ON CONFLICT (limit_id) DO UPDATE SET cap = excluded.cap;
  SELECT array_agg(x ORDER BY x.budget) INTO v_counters FROM unnest(p_limits) l
  JOIN vault.counter x ON x.limit_id = l.limit_id AND x.period_start >= vault.period_start(l.period, vault.today());
  PERFORM vault.lock_budgets(ARRAY(SELECT x.budget FROM unnest(v_counters) x));
  FOR c IN SELECT x.* FROM unnest(v_counters) x LOOP
    v_left := vault.lock_budget(c.budget);
    SELECT greatest(l.cap, c.cap - v_left) INTO v_cap FROM unnest(p_limits) l WHERE l.limit_id = c.limit_id;
    IF v_cap <> c.cap THEN
      PERFORM vault.lay_out(c.budget, v_left + v_cap - c.cap, 1, vault.cell(0::smallint));
      PERFORM vault.note_cap(c.budget, v_cap - c.cap, p_document);
      UPDATE vault.counter SET cap = v_cap WHERE budget = c.budget;
    END IF;
  END LOOP;
END $$;

-- A counter's total changes like a budget's: by an entry, which names the terms.
CREATE FUNCTION vault.note_cap(p_budget bigint, p_amount bigint, p_document text) RETURNS void LANGUAGE sql
SET search_path = vault, pg_temp AS $$
  INSERT INTO vault.budget_entry (budget, id, kind, amount, document)
  VALUES (p_budget, md5(p_document)::uuid, 'cap', p_amount, p_document)
$$;

-- Opens the counter of a limit at a place for the period in which a day lies, as large as the limit's terms say; an open one stays as
-- it is. `p_budget`: a fresh number below zero. Returns the counter's budget, NULL when there is no such limit. Where one lane at a
-- time is enough, at one merchant or store, a counter has one slot.
CREATE FUNCTION vault.open_counter(p_budget bigint, p_limit text, p_place text, p_day date, p_slots smallint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  l vault.limit_cap;
  v_start date;
  v_budget bigint;
BEGIN
  SELECT * INTO l FROM vault.limit_cap x WHERE x.limit_id = p_limit FOR UPDATE;
  IF NOT FOUND OR (p_budget < 0 AND length(p_place) <= 80 AND p_day IS NOT NULL AND p_slots > 0) IS NOT TRUE THEN
    RETURN NULL;
  END IF;
  v_start := vault.period_start(l.period, p_day);
  SELECT c.budget INTO v_budget FROM vault.counter c WHERE c.limit_id = p_limit AND c.place = p_place AND c.period_start = v_start;
  IF FOUND THEN
    RETURN v_budget;
  END IF;
  INSERT INTO vault.budget (budget, unit, slots)
  VALUES (p_budget, CASE l.measure WHEN 'face_value_fen' THEN 'fen' ELSE l.measure END,
          CASE WHEN l.scope IN ('campaign', 'town') THEN p_slots ELSE 1 END);
  INSERT INTO vault.counter VALUES (p_limit, p_place, v_start, p_budget, l.cap);
  PERFORM vault.lay_out(p_budget, l.cap, 1, vault.cell(0::smallint));
  UPDATE vault.slot SET open = true WHERE budget = p_budget;
  PERFORM vault.note_cap(p_budget, l.cap, 'opened');
  RETURN p_budget;
END $$;
