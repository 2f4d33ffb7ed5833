-- Seals: a hash chain over the committed journal, so that a change behind the vault's back is seen and named (D12, D13).
--
--   rows of the journal, in the order (txid, b, owner, seq)  ->  seal 1  ->  seal 2  ->  …  ->  the day's head, published
--
-- A seal covers the half-open window [lo, hi) of positions below `pg_snapshot_xmin`: there, nothing can still commit. The next
-- one begins where it ended. What a seal commits to: every row's bytes (`row_hash`), who and which id they were (`name_hash`,
-- spelled out in `seal_name`), running totals of every leg, and the seal before it.

-- Where the journal goes on in another cluster, an epoch begins; its rows are those booked since. Its seals begin anew, and proofs too.
CREATE TABLE vault.seal_epoch (
  epoch    integer     PRIMARY KEY,
  began_at timestamptz NOT NULL UNIQUE,
  reason   text        NOT NULL CONSTRAINT seal_epoch_reason CHECK (length(reason) BETWEEN 1 AND 200)
);
INSERT INTO vault.seal_epoch VALUES (0, '-infinity', 'the first cluster');

CREATE TABLE vault.seal (
  n          bigint      PRIMARY KEY CONSTRAINT seal_numbered CHECK (n > 0),
  version    smallint    NOT NULL,
  epoch      integer     NOT NULL REFERENCES vault.seal_epoch,
  lo_txid    bigint      NOT NULL,
  lo_b       smallint    NOT NULL,
  lo_owner   bigint      NOT NULL,
  lo_seq     bigint      NOT NULL,
  hi_txid    bigint      NOT NULL,
  hi_b       smallint    NOT NULL,
  hi_owner   bigint      NOT NULL,
  hi_seq     bigint      NOT NULL,
  rows       integer     NOT NULL CONSTRAINT seal_size CHECK (rows BETWEEN 1 AND 100000),
  -- Running totals, this seal's rows included.
  total_rows bigint      NOT NULL,
  d_avail    bigint      NOT NULL,
  d_held     bigint      NOT NULL,
  d_peer     bigint      NOT NULL,
  c_stock    bigint      NOT NULL,
  c_out      bigint      NOT NULL,
  c_used     bigint      NOT NULL,
  c_gone     bigint      NOT NULL,
  f_budget   bigint      NOT NULL,
  f_reserved bigint      NOT NULL,
  f_payable  bigint      NOT NULL,
  row_hash   bytea       NOT NULL,
  name_hash  bytea       NOT NULL,
  prev       bytea       NOT NULL,
  root       bytea       NOT NULL,
  at         timestamptz NOT NULL,
  CONSTRAINT seal_window CHECK ((lo_txid, lo_b, lo_owner, lo_seq) < (hi_txid, hi_b, hi_owner, hi_seq)),
  CONSTRAINT seal_hashes CHECK (octet_length(row_hash) = 32 AND octet_length(name_hash) = 32 AND octet_length(prev) = 32
                                AND octet_length(root) = 32)
);

-- For each sealed row 32 bytes in the seal's order: owner (8), id (16), the first 8 bytes of its hash. A row that is edited, deleted
-- or put in later is named from it.
CREATE TABLE vault.seal_name (
  n     bigint PRIMARY KEY REFERENCES vault.seal,
  names bytea  NOT NULL
);
ALTER TABLE vault.seal_name ALTER COLUMN names SET STORAGE EXTERNAL;

-- A city day is over for the ledger when everything that had begun at midnight has ended: `txid` is the first number given out after
-- midnight. Its head is the first seal that reaches so far: it misses no row of the day, and may hold a few of the next.
CREATE TABLE vault.day_end (
  day   date        PRIMARY KEY,
  epoch integer     NOT NULL REFERENCES vault.seal_epoch,
  txid  bigint      NOT NULL,
  at    timestamptz NOT NULL
);
CREATE TABLE vault.seal_head (
  day  date        PRIMARY KEY,
  n    bigint      NOT NULL REFERENCES vault.seal,
  root bytea       NOT NULL,
  at   timestamptz NOT NULL
);

-- What check-ledger has proved: the books or the seals, up to this transaction number and seal. `taken` keeps what all older rows took
-- from each budget.
CREATE TABLE vault.proof (
  id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind  text        NOT NULL CONSTRAINT proof_kind CHECK (kind IN ('books', 'seals')),
  whole boolean     NOT NULL,
  epoch integer     NOT NULL REFERENCES vault.seal_epoch,
  txid  bigint      NOT NULL,
  seal  bigint      NOT NULL,
  root  bytea       NOT NULL,
  taken jsonb       NOT NULL,
  at    timestamptz NOT NULL
);

DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['seal_epoch', 'seal', 'seal_name', 'day_end', 'seal_head', 'proof'] LOOP
    EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON vault.%I FOR EACH ROW EXECUTE FUNCTION vault.append_only()', t || '_append_only', t);
    EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON vault.%I FOR EACH STATEMENT EXECUTE FUNCTION vault.append_only()', t || '_no_truncate', t);
  END LOOP;
END $$;

-- The bytes of a row, version 1: PostgreSQL's binary form of a record. Number of columns, then for each its type's number, its length
-- (-1 for NULL) and its bytes: integers big-endian, instants in microseconds since 2000-01-01T00:00:00Z, documents as their text in
-- UTF-8. Columns are listed, so that a new one changes nothing; `wallet.seals` computes the same from a row. Not IMMUTABLE, because
-- then it would not be inlined: it depends on no setting.
CREATE FUNCTION vault.sealed_bytes(j vault.journal) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
AS $$
  SELECT record_send(ROW(1::smallint, j.b, j.owner, j.id, j.seq, j.op, j.st, j.d_avail, j.d_held, j.d_peer, j.c_stock, j.c_out, j.c_used,
    j.c_gone, j.f_budget, j.f_reserved, j.f_payable, j.peer, j.avail_after, j.held_after, j.terms, j.ref,
    convert_to(j.takes::text, 'UTF8'), convert_to(j.lots::text, 'UTF8'), convert_to(j.detail::text, 'UTF8'), j.hash, j.at, j.txid))
$$;

-- The bytes of a seal, in the same form: what its root commits to, beside the root before it.
CREATE FUNCTION vault.seal_bytes(s vault.seal) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
AS $$
  SELECT record_send(ROW(s.version, s.n, s.epoch, s.lo_txid, s.lo_b, s.lo_owner, s.lo_seq, s.hi_txid, s.hi_b, s.hi_owner, s.hi_seq,
    s.rows, s.total_rows, s.d_avail, s.d_held, s.d_peer, s.c_stock, s.c_out, s.c_used, s.c_gone, s.f_budget, s.f_reserved, s.f_payable,
    s.row_hash, s.name_hash, s.prev, s.at))
$$;

-- Seals the next window below p_hi; the caller holds the lock. A window with more rows than p_rows is cut behind its p_rows-th row,
-- also within one transaction. Returns how many rows were sealed; nothing new, no seal.
CREATE FUNCTION vault.seal_window(p_hi bigint, p_rows integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  e vault.seal_epoch;
  last vault.seal;
  s vault.seal;
  v_names bytea;
  v_hi bigint;
BEGIN
  SELECT * INTO STRICT e FROM vault.seal_epoch x ORDER BY x.epoch DESC LIMIT 1;
  SELECT * INTO last FROM vault.seal x ORDER BY x.n DESC LIMIT 1;
  s.version := 1;
  s.n := coalesce(last.n, 0) + 1;
  s.epoch := e.epoch;
  s.prev := coalesce(last.root, decode(repeat('00', 32), 'hex'));
  SELECT x.txid, x.b, x.owner, x.seq INTO s.lo_txid, s.lo_b, s.lo_owner, s.lo_seq
  FROM (SELECT last.hi_txid, last.hi_b, last.hi_owner, last.hi_seq WHERE last.epoch = e.epoch UNION ALL SELECT 0, 0, 0, 0)
    x (txid, b, owner, seq) LIMIT 1;
  -- After a long pause, no more of the journal is read than this seal can hold.
  v_hi := s.lo_txid + least(p_hi - s.lo_txid, greatest(p_rows / 64, 16));
  WHILE v_hi < p_hi AND p_rows > (
    SELECT count(*) FROM (SELECT FROM vault.journal j WHERE j.txid >= s.lo_txid AND j.txid < v_hi AND j.at >= e.began_at
                            AND (j.txid, j.b, j.owner, j.seq) >= (s.lo_txid, s.lo_b, s.lo_owner, s.lo_seq) LIMIT p_rows) x) LOOP
    v_hi := least(p_hi::numeric, v_hi + 4 * (v_hi - s.lo_txid)::numeric)::bigint;
  END LOOP;
  WITH sealed AS MATERIALIZED (
    SELECT x.*, sha256(vault.sealed_bytes(ROW(x.*)::vault.journal)) AS digest
    FROM (SELECT j.* FROM vault.journal j
          WHERE j.txid >= s.lo_txid AND j.txid < v_hi AND j.at >= e.began_at
            AND (j.txid, j.b, j.owner, j.seq) >= (s.lo_txid, s.lo_b, s.lo_owner, s.lo_seq)
          ORDER BY j.txid, j.b, j.owner, j.seq, j.id LIMIT p_rows) x)
  SELECT t.*, z.* INTO s.rows, s.row_hash, v_names, s.d_avail, s.d_held, s.d_peer, s.c_stock, s.c_out, s.c_used, s.c_gone,
    s.f_budget, s.f_reserved, s.f_payable, s.hi_txid, s.hi_b, s.hi_owner, s.hi_seq
  FROM (SELECT count(*), sha256(string_agg(x.digest, '')),
          string_agg(int8send(x.owner) || uuid_send(x.id) || substr(x.digest, 1, 8), ''),
          coalesce(sum(x.d_avail), 0), coalesce(sum(x.d_held), 0), coalesce(sum(x.d_peer), 0), coalesce(sum(x.c_stock), 0),
          coalesce(sum(x.c_out), 0), coalesce(sum(x.c_used), 0), coalesce(sum(x.c_gone), 0), coalesce(sum(x.f_budget), 0),
          coalesce(sum(x.f_reserved), 0), coalesce(sum(x.f_payable), 0) FROM sealed x) t,
       (SELECT x.txid, x.b, x.owner, x.seq + 1 FROM sealed x ORDER BY x.txid DESC, x.b DESC, x.owner DESC, x.seq DESC LIMIT 1) z;
  IF NOT FOUND THEN
    RETURN 0;
  ELSIF s.rows < p_rows THEN
    s.hi_txid := p_hi;
    s.hi_b := 0;
    s.hi_owner := 0;
    s.hi_seq := 0;
  END IF;
  s.total_rows := coalesce(last.total_rows, 0) + s.rows;
  s.d_avail := coalesce(last.d_avail, 0) + s.d_avail;
  s.d_held := coalesce(last.d_held, 0) + s.d_held;
  s.d_peer := coalesce(last.d_peer, 0) + s.d_peer;
  s.c_stock := coalesce(last.c_stock, 0) + s.c_stock;
  s.c_out := coalesce(last.c_out, 0) + s.c_out;
  s.c_used := coalesce(last.c_used, 0) + s.c_used;
  s.c_gone := coalesce(last.c_gone, 0) + s.c_gone;
  s.f_budget := coalesce(last.f_budget, 0) + s.f_budget;
  s.f_reserved := coalesce(last.f_reserved, 0) + s.f_reserved;
  s.f_payable := coalesce(last.f_payable, 0) + s.f_payable;
  s.name_hash := sha256(v_names);
  s.at := vault.now();
  s.root := sha256(vault.seal_bytes(s));
  INSERT INTO vault.seal SELECT s.*;
  INSERT INTO vault.seal_name VALUES (s.n, v_names);
  RETURN s.rows;
END $$;

-- The oldest running transaction: all below it are over. Raises where numbers are lower than the one up to which the journal has been
-- read: that is another cluster than the one which wrote it, and what it writes now would never be read.
CREATE FUNCTION vault.oldest_running(p_read_to bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  v_oldest bigint := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
BEGIN
  IF v_oldest < p_read_to THEN
    RAISE EXCEPTION 'transaction numbers have started anew: this cluster is at %, the journal is read up to %', v_oldest, p_read_to
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'See "After a restore" in docs/operations.md.';
  END IF;
  RETURN v_oldest;
END $$;

-- Worker: seals what is committed and not yet sealed, at most p_rows rows; returns how many. The lock comes first and the snapshot
-- after it, so that a transaction that commits late is in a later window and in none twice (D12).
CREATE FUNCTION vault.seal_next(p_rows integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp SET work_mem = '64MB' AS $$
DECLARE
  v_lo bigint;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'the vault seals at READ COMMITTED only' USING ERRCODE = 'invalid_transaction_state';
  ELSIF (p_rows BETWEEN 1 AND 100000) IS NOT TRUE THEN
    RAISE EXCEPTION 'a seal covers 1 to 100000 rows, not %', p_rows USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('vault.seal'));
  SELECT x.hi_txid INTO v_lo FROM vault.seal x
  WHERE x.epoch = (SELECT max(y.epoch) FROM vault.seal_epoch y) ORDER BY x.n DESC LIMIT 1;
  RETURN vault.seal_window(vault.oldest_running(v_lo), p_rows);
END $$;

-- Owner only, where the journal was brought into another cluster: seals all that was brought and begins the next epoch. The cluster's
-- numbers must be higher than the journal's before: folds and streams have no epochs and would pass over what is written below
-- their cursors. Nobody may be posting, which the lock on the wallets makes sure of.
CREATE FUNCTION vault.seal_begin_epoch(p_reason text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  v_began timestamptz;
  v_read_to bigint;
  v_epoch integer;
BEGIN
  LOCK TABLE vault.wallet IN ACCESS EXCLUSIVE MODE;
  PERFORM pg_advisory_xact_lock(hashtext('vault.seal'));
  v_began := vault.now();
  SELECT max(c.folded_to) INTO v_read_to FROM vault.fold_cursor c;
  SELECT greatest(v_read_to, max(s.hi_txid)) INTO v_read_to FROM vault.seal s WHERE s.epoch = (SELECT max(e.epoch) FROM vault.seal_epoch e);
  PERFORM vault.oldest_running(v_read_to);
  IF EXISTS (SELECT FROM vault.journal j WHERE j.txid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint) THEN
    RAISE EXCEPTION 'transaction numbers have started anew: the journal has higher ones than this cluster' USING
      ERRCODE = 'object_not_in_prerequisite_state', HINT = 'See "After a restore" in docs/operations.md.';
  ELSIF NOT EXISTS (SELECT FROM vault.seal s WHERE s.epoch = (SELECT max(e.epoch) FROM vault.seal_epoch e)) THEN
    RAISE EXCEPTION 'the epoch that runs has no seal yet' USING ERRCODE = 'object_not_in_prerequisite_state';
  ELSIF EXISTS (SELECT FROM vault.journal j WHERE j.at >= v_began) THEN
    RAISE EXCEPTION 'the clock is behind the journal: set it right first' USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  LOOP
    EXIT WHEN vault.seal_window(9223372036854775807, 100000) = 0;
  END LOOP;
  INSERT INTO vault.seal_epoch SELECT max(e.epoch) + 1, v_began, p_reason FROM vault.seal_epoch e RETURNING epoch INTO v_epoch;
  RETURN v_epoch;
END $$;

-- Worker: writes the head of the oldest city day that has none and is over, and returns the day; else NULL.
CREATE FUNCTION vault.seal_head_next() RETURNS date
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  v_today date := vault.today();
  v_day date;
  v_epoch integer;
  d vault.day_end;
  s vault.seal;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'the vault seals at READ COMMITTED only' USING ERRCODE = 'invalid_transaction_state';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('vault.seal'));
  -- The first head is of the day of the oldest row, however much later that was sealed.
  SELECT coalesce((SELECT max(h.day) + 1 FROM vault.seal_head h),
                  (SELECT vault.city_day(min(j.at)) FROM vault.seal x JOIN vault.journal_all j
                     ON j.txid BETWEEN x.lo_txid AND x.hi_txid AND (j.txid, j.b, j.owner, j.seq) < (x.hi_txid, x.hi_b, x.hi_owner, x.hi_seq)
                   WHERE x.n = 1)) INTO v_day;
  IF (v_day < v_today) IS NOT TRUE THEN
    RETURN NULL;
  END IF;
  SELECT max(e.epoch) INTO v_epoch FROM vault.seal_epoch e;
  -- Read after midnight, and a posting takes its number before it reads the clock: whatever is of that day has a lower number.
  INSERT INTO vault.day_end SELECT v_day, v_epoch, pg_snapshot_xmax(pg_current_snapshot())::text::bigint, vault.now()
  ON CONFLICT DO NOTHING;
  SELECT * INTO d FROM vault.day_end x WHERE x.day = v_day;
  SELECT * INTO s FROM vault.seal x WHERE x.epoch > d.epoch OR x.epoch = d.epoch AND x.hi_txid >= d.txid ORDER BY x.n LIMIT 1;
  IF NOT FOUND THEN
    SELECT * INTO s FROM vault.seal x ORDER BY x.n DESC LIMIT 1;
    IF d.epoch = v_epoch AND (pg_snapshot_xmin(pg_current_snapshot())::text::bigint < d.txid OR EXISTS (
         SELECT FROM vault.journal j, vault.seal_epoch e
         WHERE e.epoch = v_epoch AND j.at >= e.began_at AND j.txid < d.txid
           AND (s.epoch < v_epoch OR (j.txid, j.b, j.owner, j.seq) >= (s.hi_txid, s.hi_b, s.hi_owner, s.hi_seq)))) THEN
      RETURN NULL;
    END IF;
  END IF;
  INSERT INTO vault.seal_head VALUES (v_day, s.n, s.root, vault.now());
  RETURN v_day;
END $$;

-- Worker: notes what check-ledger has proved.
CREATE FUNCTION vault.note_proof(p_kind text, p_whole boolean, p_txid bigint, p_seal bigint, p_root bytea, p_taken jsonb)
RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = vault, pg_temp
AS $$
  INSERT INTO vault.proof (kind, whole, epoch, txid, seal, root, taken, at)
  SELECT p_kind, p_whole, max(e.epoch), p_txid, p_seal, p_root, p_taken, vault.now() FROM vault.seal_epoch e RETURNING id
$$;
