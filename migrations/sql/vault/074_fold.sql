-- Accounts without a limit have no balance row that postings would fight for: their balance is the journal's sum, folded up to
-- fold_cursor.folded_to and added up from there on (D12). b leads, so that a larger city folds each node's rows where they are.
--
--   kind              account                     unit    of operations
--   template          the template                points  2 claim (its price), 16 void_coupon
--   payee             who is paid                 points  8 spend, 10 capture, 12 refund
--   breakage          the city's day, 20260731    points  7 expire_points
--   adjustment        0                           points  13 adjust
--   merchant_payable  the merchant                fen     3 redeem, 4 void

CREATE TABLE vault.fold (
  b       smallint NOT NULL,
  kind    text     NOT NULL CONSTRAINT fold_kind CHECK (kind IN ('template', 'payee', 'breakage', 'adjustment', 'merchant_payable')),
  account bigint   NOT NULL,
  unit    text     NOT NULL CONSTRAINT fold_unit CHECK (unit = CASE kind WHEN 'merchant_payable' THEN 'fen' ELSE 'points' END),
  balance bigint   NOT NULL,
  PRIMARY KEY (b, kind, account, unit)
) WITH (fillfactor = 70);
CREATE INDEX fold_account ON vault.fold (kind, account);

-- One row per node: transactions below folded_to are in vault.fold, all others are not.
CREATE TABLE vault.fold_cursor (
  node      smallint PRIMARY KEY,
  folded_to bigint   NOT NULL
);
INSERT INTO vault.fold_cursor VALUES (0, 0);

-- What each journal row does to accounts without a limit.
CREATE VIEW vault.fold_leg AS
SELECT j.b, j.txid,
  CASE WHEN j.op IN (2, 16) THEN 'template' WHEN j.op IN (8, 10, 12) THEN 'payee' WHEN j.op = 7 THEN 'breakage' ELSE 'adjustment' END AS kind,
  CASE WHEN j.op = 7 THEN to_char(j.at AT TIME ZONE vault.zone(), 'YYYYMMDD')::bigint WHEN j.op = 13 THEN 0 ELSE j.peer END AS account,
  'points' AS unit, j.d_peer AS amount
FROM vault.journal j WHERE j.op IN (2, 7, 8, 10, 12, 13, 16) AND j.d_peer <> 0
UNION ALL
SELECT j.b, j.txid, 'merchant_payable', j.peer, 'fen', j.f_payable FROM vault.journal j WHERE j.op IN (3, 4) AND j.f_payable <> 0;

-- Folds the next rows, at most p_limit of them unless one transaction wrote more; returns how many there were. Whoever folds locks
-- the cursor first and looks for the oldest running transaction then: in the other order a late committer would be passed over.
CREATE FUNCTION vault.fold_next(p_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  v_low bigint;
  v_high bigint;
  v_cut bigint;
  v_rows bigint;
BEGIN
  IF p_limit NOT BETWEEN 1 AND 100000 OR p_limit IS NULL THEN
    RAISE EXCEPTION 'a step folds 1 to 100000 rows, not %', p_limit;
  ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'fold_next needs READ COMMITTED';
  END IF;
  SELECT c.folded_to INTO v_low FROM vault.fold_cursor c WHERE c.node = 0 FOR UPDATE;
  v_high := vault.oldest_running(v_low);
  SELECT j.txid INTO v_cut FROM vault.journal j WHERE j.txid >= v_low AND j.txid < v_high ORDER BY j.txid OFFSET p_limit LIMIT 1;
  IF FOUND THEN
    v_high := greatest(v_cut, v_low + 1);
  END IF;
  SELECT count(*) INTO v_rows FROM vault.journal j WHERE j.txid >= v_low AND j.txid < v_high;
  IF v_rows = 0 THEN
    RETURN 0;
  END IF;
  INSERT INTO vault.fold AS f (b, kind, account, unit, balance)
  SELECT l.b, l.kind, l.account, l.unit, sum(l.amount) FROM vault.fold_leg l WHERE l.txid >= v_low AND l.txid < v_high
  GROUP BY l.b, l.kind, l.account, l.unit ORDER BY l.b, l.kind, l.account, l.unit
  ON CONFLICT (b, kind, account, unit) DO UPDATE SET balance = f.balance + excluded.balance;
  UPDATE vault.fold_cursor SET folded_to = v_high WHERE node = 0;
  RETURN v_rows;
END $$;
