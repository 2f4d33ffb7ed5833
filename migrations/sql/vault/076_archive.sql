-- Keeping: months that leave the journal and come back, and rows that have been kept long enough.

-- Whether something that was booked under an id of these bounds is alive: taking a coupon back looks up its claim's lots, so the
-- claim's month stays in the journal as long as the coupon can be taken back. NULL, or 'live_coupons', 'open_holds'.
CREATE FUNCTION vault.alive_in(p_lower uuid, p_upper uuid) RETURNS text
LANGUAGE plpgsql SET search_path = vault, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM vault.hold h WHERE h.id >= p_lower AND h.id < p_upper) THEN
    RETURN 'open_holds';
  ELSIF EXISTS (SELECT FROM vault.coupon c WHERE c.id >= p_lower AND c.id < p_upper
                AND (c.state IN ('issued', 'locked') OR c.reserved_fen > 0))
     OR EXISTS (SELECT FROM vault.redemption r WHERE r.void_until >= vault.now() AND r.coupon_id >= p_lower AND r.coupon_id < p_upper) THEN
    RETURN 'live_coupons';
  END IF;
  RETURN NULL;
END $$;

-- Who has not read every row of these bounds yet: seals, folds, or consumers of the stream, who have all read what transactions below
-- `p_streamed_to` wrote. NULL, or 'not_sealed', 'not_folded', 'not_streamed'.
CREATE FUNCTION vault.unread_in(p_lower uuid, p_upper uuid, p_streamed_to bigint) RETURNS text
LANGUAGE plpgsql SET search_path = vault, pg_temp AS $$
DECLARE
  e vault.seal_epoch;
  s vault.seal;
  v_folded_to bigint;
BEGIN
  SELECT * INTO STRICT e FROM vault.seal_epoch x ORDER BY x.epoch DESC LIMIT 1;
  SELECT * INTO s FROM vault.seal x WHERE x.epoch = e.epoch ORDER BY x.n DESC LIMIT 1;
  SELECT min(c.folded_to) INTO v_folded_to FROM vault.fold_cursor c;
  IF EXISTS (SELECT FROM vault.journal j
             WHERE j.id >= p_lower AND j.id < p_upper AND j.at >= e.began_at AND j.txid >= coalesce(s.hi_txid, 0)
               AND (s.n IS NULL OR (j.txid, j.b, j.owner, j.seq) >= (s.hi_txid, s.hi_b, s.hi_owner, s.hi_seq))) THEN
    RETURN 'not_sealed';
  ELSIF EXISTS (SELECT FROM vault.journal j WHERE j.id >= p_lower AND j.id < p_upper AND j.txid >= v_folded_to) THEN
    RETURN 'not_folded';
  ELSIF EXISTS (SELECT FROM vault.journal j WHERE j.id >= p_lower AND j.id < p_upper AND j.txid >= p_streamed_to) THEN
    RETURN 'not_streamed';
  END IF;
  RETURN NULL;
END $$;

-- Takes a month out of the journal; nothing is copied. From here on its ids are old ids (status 3): without a partition there is
-- nothing to find and nowhere to insert. Answers: 'detached', 'already', 'unknown', 'too_young', or what `alive_in` and `unread_in` say.
CREATE FUNCTION vault.detach_month(p_month date, p_keep_months integer, p_streamed_to bigint) RETURNS text
LANGUAGE plpgsql SET search_path = vault, pg_temp AS $$
DECLARE
  m vault.journal_month;
  v_name text := 'journal_' || to_char(p_month, 'YYYYMM');
  v_reason text;
BEGIN
  IF (p_keep_months >= 3) IS NOT TRUE THEN
    RAISE EXCEPTION 'at least 3 whole months stay in the journal, not %', p_keep_months;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('vault.journal_month'));
  IF EXISTS (SELECT FROM vault.archived_month x WHERE x.month = p_month) THEN
    RETURN 'already';
  END IF;
  SELECT * INTO m FROM vault.journal_month x WHERE x.month = p_month;
  IF NOT FOUND THEN
    RETURN 'unknown';
  ELSIF p_month >= date_trunc('month', vault.now() AT TIME ZONE 'UTC') - make_interval(months => p_keep_months) THEN
    RETURN 'too_young';
  END IF;
  v_reason := coalesce(vault.alive_in(m.lower_id, m.upper_id), vault.unread_in(m.lower_id, m.upper_id, p_streamed_to));
  IF v_reason IS NULL THEN
    LOCK TABLE ONLY vault.journal IN ACCESS EXCLUSIVE MODE;
    -- A job may have booked a late row meanwhile; nobody can now.
    v_reason := vault.unread_in(m.lower_id, m.upper_id, p_streamed_to);
  END IF;
  IF v_reason IS NOT NULL THEN
    RETURN v_reason;
  END IF;
  EXECUTE format('ALTER TABLE vault.journal DETACH PARTITION vault.%I', v_name);
  EXECUTE format('ALTER TABLE vault.journal_archive ATTACH PARTITION vault.%I FOR VALUES FROM (%L) TO (%L)', v_name, m.lower_id, m.upper_id);
  DELETE FROM vault.journal_month x WHERE x.month = p_month;
  INSERT INTO vault.archived_month (month, lower_id, upper_id, detached_at) VALUES (m.month, m.lower_id, m.upper_id, vault.now());
  RETURN 'detached';
END $$;

-- What an archived month holds: its rows, and a digest over their sealed bytes in the order of the key.
CREATE FUNCTION vault.month_content(p_month date, OUT entries bigint, OUT digest bytea)
LANGUAGE plpgsql STABLE SET search_path = vault, pg_temp AS $$
BEGIN
  SELECT coalesce(sum(x.n), 0), sha256(coalesce(string_agg(x.digest, '' ORDER BY x.b), '')) INTO entries, digest
  FROM (SELECT j.b, count(*) AS n,
               sha256(string_agg(sha256(vault.sealed_bytes(ROW(j.*)::vault.journal)), '' ORDER BY j.owner, j.id)) AS digest
        FROM vault.journal_archive j JOIN vault.archived_month m ON m.month = p_month AND j.id >= m.lower_id AND j.id < m.upper_id
        GROUP BY j.b) x;
END $$;

-- Measures an archived month: the first time its content is recorded, afterwards compared. Answers: 'recorded', 'same', 'changed', 'unknown'.
CREATE FUNCTION vault.prove_month(p_month date, OUT answer text, OUT entries bigint, OUT digest bytea)
LANGUAGE plpgsql SET search_path = vault, pg_temp AS $$
DECLARE
  m vault.archived_month;
BEGIN
  SELECT * INTO m FROM vault.archived_month x WHERE x.month = p_month FOR UPDATE;
  IF NOT FOUND THEN
    answer := 'unknown';
    RETURN;
  END IF;
  SELECT c.entries, c.digest INTO entries, digest FROM vault.month_content(p_month) c;
  IF m.digest IS NULL THEN
    UPDATE vault.archived_month x SET entries = prove_month.entries, digest = prove_month.digest WHERE x.month = p_month;
    answer := 'recorded';
  ELSE
    answer := CASE WHEN (m.entries, m.digest) = (entries, digest) THEN 'same' ELSE 'changed' END;
  END IF;
END $$;

-- Puts a month back; its replays are answered again. `p_digest` is what `prove_month` has just found: nothing else comes back.
-- Answers: 'attached', 'already', 'unknown', 'changed'.
CREATE FUNCTION vault.attach_month(p_month date, p_digest bytea) RETURNS text
LANGUAGE plpgsql SET search_path = vault, pg_temp AS $$
DECLARE
  m vault.archived_month;
  v_name text := 'journal_' || to_char(p_month, 'YYYYMM');
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('vault.journal_month'));
  IF EXISTS (SELECT FROM vault.journal_month x WHERE x.month = p_month) THEN
    RETURN 'already';
  END IF;
  SELECT * INTO m FROM vault.archived_month x WHERE x.month = p_month;
  IF NOT FOUND THEN
    RETURN 'unknown';
  ELSIF (m.digest = p_digest) IS NOT TRUE THEN
    RETURN 'changed';
  END IF;
  -- As strong as detaching: no posting looks an id up before and inserts it after; its key would refuse it, and the whole batch.
  LOCK TABLE ONLY vault.journal IN ACCESS EXCLUSIVE MODE;
  EXECUTE format('ALTER TABLE vault.journal_archive DETACH PARTITION vault.%I', v_name);
  EXECUTE format('ALTER TABLE vault.journal ATTACH PARTITION vault.%I FOR VALUES FROM (%L) TO (%L)', v_name, m.lower_id, m.upper_id);
  DELETE FROM vault.archived_month x WHERE x.month = p_month;
  INSERT INTO vault.journal_month (month, lower_id, upper_id) VALUES (m.month, m.lower_id, m.upper_id);
  RETURN 'attached';
END $$;

-- How far the purge of showings has come: nothing older is left but what was redeemed.
CREATE TABLE vault.purged_until (
  name text        PRIMARY KEY,
  at   timestamptz NOT NULL
);

-- Showings that were never redeemed, 90 days after they expired; a redeemed one is proof that its code was used once, and stays.
-- Their ids carry their time, so the key itself finds them (an index on the state would end their HOT updates): hour by hour
-- from where the last call ended, at most 200 hours and about `p_limit` rows a call. A showing lives less than a day.
CREATE FUNCTION vault.purge_credentials(p_now timestamptz, p_limit integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = vault, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_end timestamptz := date_trunc('hour', p_now - interval '91 days');
  v_at timestamptz;
  v_deleted bigint := 0;
  v_step bigint;
BEGIN
  SELECT p.at INTO v_at FROM vault.purged_until p WHERE p.name = 'credential' FOR UPDATE;
  IF NOT FOUND THEN
    SELECT date_trunc('hour', vault.id_time(x.id)) INTO v_at
    FROM generate_series(0, 1023) g (b), LATERAL (SELECT c.id FROM vault.credential c WHERE c.b = g.b ORDER BY c.id LIMIT 1) x
    ORDER BY x.id LIMIT 1;
    v_at := coalesce(v_at, v_end);
    INSERT INTO vault.purged_until VALUES ('credential', v_at) ON CONFLICT DO NOTHING;
  END IF;
  FOR step IN 1..200 LOOP
    EXIT WHEN v_at >= v_end OR v_deleted >= p_limit;
    DELETE FROM vault.credential c USING generate_series(0, 1023) g (b)
    WHERE c.b = g.b AND c.id >= vault.id_floor(v_at) AND c.id < vault.id_floor(v_at + interval '1 hour')
      AND c.state <> 'redeemed' AND c.expires_at < p_now - interval '90 days';
    GET DIAGNOSTICS v_step = ROW_COUNT;
    v_deleted := v_deleted + v_step;
    v_at := v_at + interval '1 hour';
  END LOOP;
  UPDATE vault.purged_until p SET at = v_at WHERE p.name = 'credential' AND p.at < v_at;
  RETURN v_deleted;
END $$;

-- Scans, 90 days after they were made. Their numbers grow with time: each bucket's oldest are the first of its key.
CREATE FUNCTION vault.purge_scans(p_now timestamptz, p_limit integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = vault, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_deleted bigint;
BEGIN
  DELETE FROM vault.scan_log s USING generate_series(0, 1023) g (b),
    LATERAL (SELECT x.id, x.at FROM vault.scan_log x WHERE x.b = g.b ORDER BY x.id LIMIT ceil(p_limit / 1024.0)) o
  WHERE o.at < p_now - interval '90 days' AND s.b = g.b AND s.id = o.id;
  GET DIAGNOSTICS v_deleted = ROW_COUNT;
  RETURN v_deleted;
END $$;

-- House-keeping: directory rows 7 days after expiry, scans and showings by the rules above. Bounded per call; returns rows deleted.
-- The clock is read once: a comparison with a volatile function uses no index.
CREATE FUNCTION vault.purge(p_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  v_now timestamptz := vault.now();
  v_handles bigint;
BEGIN
  DELETE FROM vault.credential_handle WHERE handle IN (
    SELECT h.handle FROM vault.credential_handle h WHERE h.expires_at < v_now - interval '7 days' ORDER BY h.expires_at LIMIT p_limit);
  GET DIAGNOSTICS v_handles = ROW_COUNT;
  RETURN v_handles + vault.purge_scans(v_now, p_limit) + vault.purge_credentials(v_now, p_limit);
END $$;
