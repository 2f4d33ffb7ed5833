-- The journal's months. A partition is made standalone and attached (D14); its bounds are UUIDs, so the key stays unique
-- over all months. Each gets its own TRUNCATE trigger: a statement trigger of the parent does not fire when a partition is named.

CREATE TABLE vault.journal_month (
  month      date PRIMARY KEY,
  lower_id   uuid NOT NULL UNIQUE,
  upper_id   uuid NOT NULL UNIQUE,
  CONSTRAINT journal_month_first CHECK (month = date_trunc('month', month)::date)
);

-- Makes the months from `p_first` (without it: from the first one that is missing, so that a long pause leaves no gap) to `p_months_ahead` months after today's, in UTC; rerun-safe. Returns how many it made.
CREATE FUNCTION vault.ensure_partitions(p_months_ahead integer, p_first date DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  v_month date := date_trunc('month', coalesce(p_first, least(
    (SELECT max(m.month) + 32 FROM vault.journal_month m), (vault.now() AT TIME ZONE 'UTC')::date - 31)))::date;
  v_last date := (date_trunc('month', vault.now() AT TIME ZONE 'UTC') + make_interval(months => p_months_ahead))::date;
  v_name text;
  v_made integer := 0;
BEGIN
  IF p_months_ahead NOT BETWEEN 0 AND 24 THEN
    RAISE EXCEPTION 'months ahead must be 0 to 24, not %', p_months_ahead;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('vault.ensure_partitions'));
  WHILE v_month <= v_last LOOP
    IF NOT EXISTS (SELECT FROM vault.journal_month m WHERE m.month = v_month) THEN
      v_name := 'journal_' || to_char(v_month, 'YYYYMM');
      EXECUTE format('CREATE TABLE vault.%I (LIKE vault.journal INCLUDING ALL)', v_name);
      EXECUTE format('ALTER TABLE vault.journal ATTACH PARTITION vault.%I FOR VALUES FROM (%L) TO (%L)', v_name,
        vault.id_floor(v_month::timestamp AT TIME ZONE 'UTC'),
        vault.id_floor((v_month + interval '1 month') AT TIME ZONE 'UTC'));
      EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON vault.%I FOR EACH STATEMENT EXECUTE FUNCTION vault.append_only()',
        v_name || '_no_truncate', v_name);
      EXECUTE format('GRANT SELECT ON vault.%I TO chengxin_app, chengxin_worker', v_name);
      INSERT INTO vault.journal_month VALUES (v_month,
        vault.id_floor(v_month::timestamp AT TIME ZONE 'UTC'),
        vault.id_floor((v_month + interval '1 month') AT TIME ZONE 'UTC'));
      v_made := v_made + 1;
    END IF;
    v_month := (v_month + interval '1 month')::date;
  END LOOP;
  RETURN v_made;
END $$;

SELECT vault.ensure_partitions(3);
