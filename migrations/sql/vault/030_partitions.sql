-- The journal's months. A partition is made standalone and attached (D14); its bounds are UUIDs, so the key stays unique
-- over all months. Each gets its own TRUNCATE trigger: a statement trigger of the parent does not fire when a partition is named.
--
--   journal          the months where value moves and replays are answered        <- journal_month
--   journal_archive  months taken out of it (076): read, never written             <- archived_month
--   journal_all      both: history and proofs read this one, postings never

CREATE TABLE vault.journal_month (
  month      date PRIMARY KEY,
  lower_id   uuid NOT NULL UNIQUE,
  upper_id   uuid NOT NULL UNIQUE,
  CONSTRAINT journal_month_first CHECK (month = date_trunc('month', month)::date)
);

-- A month taken out of the journal; entries and digest are of its content, measured once it could no longer change.
CREATE TABLE vault.archived_month (
  month       date PRIMARY KEY,
  lower_id    uuid NOT NULL UNIQUE,
  upper_id    uuid NOT NULL UNIQUE,
  detached_at timestamptz NOT NULL,
  entries     bigint,
  digest      bytea,
  CONSTRAINT archived_month_first CHECK (month = date_trunc('month', month)::date),
  CONSTRAINT archived_month_measured CHECK ((entries IS NULL) = (digest IS NULL))
);

-- Its row trigger is cloned to every month that comes in, in the transaction in which the journal's own is dropped.
CREATE TABLE vault.journal_archive (LIKE vault.journal INCLUDING ALL) PARTITION BY RANGE (id);
CREATE TRIGGER journal_archive_closed BEFORE INSERT OR UPDATE OR DELETE ON vault.journal_archive
  FOR EACH ROW EXECUTE FUNCTION vault.append_only();
CREATE TRIGGER journal_archive_no_truncate BEFORE TRUNCATE ON vault.journal_archive
  FOR EACH STATEMENT EXECUTE FUNCTION vault.append_only();

CREATE VIEW vault.journal_all AS SELECT * FROM vault.journal UNION ALL SELECT * FROM vault.journal_archive;

-- Makes one month. Its bounds are a CHECK too, given while it is empty: taking it out and in again needs no scan under a lock.
CREATE FUNCTION vault.make_month(p_month date) RETURNS void
LANGUAGE plpgsql SET search_path = vault, pg_temp AS $$
DECLARE
  v_name text := 'journal_' || to_char(p_month, 'YYYYMM');
  v_lower uuid := vault.id_floor(p_month::timestamp AT TIME ZONE 'UTC');
  v_upper uuid := vault.id_floor((p_month + interval '1 month') AT TIME ZONE 'UTC');
BEGIN
  EXECUTE format('CREATE TABLE vault.%I (LIKE vault.journal INCLUDING ALL, CONSTRAINT %I CHECK (id >= %L AND id < %L))',
    v_name, v_name || '_bounds', v_lower, v_upper);
  EXECUTE format('ALTER TABLE vault.journal ATTACH PARTITION vault.%I FOR VALUES FROM (%L) TO (%L)', v_name, v_lower, v_upper);
  EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON vault.%I FOR EACH STATEMENT EXECUTE FUNCTION vault.append_only()',
    v_name || '_no_truncate', v_name);
  EXECUTE format('GRANT SELECT ON vault.%I TO chengxin_app, chengxin_worker', v_name);
  INSERT INTO vault.journal_month VALUES (p_month, v_lower, v_upper);
END $$;

-- Makes the months from `p_first` (without it: from the first one that is missing, so that a long pause leaves no gap) to
-- `p_months_ahead` months after today's, in UTC; rerun-safe, and archived months stay where they are. Returns how many it made.
CREATE FUNCTION vault.ensure_partitions(p_months_ahead integer, p_first date DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  v_month date := date_trunc('month', coalesce(p_first, least(
    (SELECT max(m.month) + 32 FROM vault.journal_month m), (vault.now() AT TIME ZONE 'UTC')::date - 31)))::date;
  v_last date := (date_trunc('month', vault.now() AT TIME ZONE 'UTC') + make_interval(months => p_months_ahead))::date;
  v_made integer := 0;
BEGIN
  IF p_months_ahead NOT BETWEEN 0 AND 24 THEN
    RAISE EXCEPTION 'months ahead must be 0 to 24, not %', p_months_ahead;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('vault.journal_month'));
  WHILE v_month <= v_last LOOP
    IF NOT EXISTS (SELECT FROM vault.journal_month m WHERE m.month = v_month)
       AND NOT EXISTS (SELECT FROM vault.archived_month m WHERE m.month = v_month) THEN
      PERFORM vault.make_month(v_month);
      v_made := v_made + 1;
    END IF;
    v_month := (v_month + interval '1 month')::date;
  END LOOP;
  RETURN v_made;
END $$;

SELECT vault.ensure_partitions(3);
