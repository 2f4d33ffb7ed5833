-- The scan of a code at a counter, and the outcome every item has.

-- One look at an existing code, as it will be written: a line of the scan log and, when `claims`, the claim of the credential.
CREATE TYPE vault.scan AS (
  b             smallint,
  owner         bigint,
  credential_id uuid,
  merchant_id   bigint,
  store_id      bigint,
  terminal_id   bigint,
  staff_id      bigint,
  result        text,
  at            timestamptz,
  claims        boolean,
  redemption_id uuid,
  void_id       uuid
);

-- What one item did: its answer, and the rows that are still to be written for it.
CREATE TYPE vault.outcome AS (
  status     smallint,
  replayed   boolean,
  answer     jsonb,
  wallet     vault.wallet,
  entry      vault.journal,
  expiry     vault.journal,
  redemption vault.redemption,
  scan       vault.scan
);

-- A terminal scans a code: the credential is claimed for it, or the answer is one uniform "not valid" (D27, D30). The reason goes
-- to the scan log only. A claim is replayed by its natural key: the same terminal gets the same redemption id again.
CREATE FUNCTION vault.op_claim_credential(w vault.wallet, i vault.item, p_at timestamptz) RETURNS vault.outcome
LANGUAGE plpgsql AS $$
DECLARE
  o vault.outcome;
  cr vault.credential;
  c vault.coupon;
  t vault.coupon_terms;
  v_result text;
BEGIN
  o.status := 20;
  o.replayed := false;
  SELECT * INTO cr FROM vault.credential x WHERE x.b = w.b AND x.id = i.credential;
  SELECT * INTO c FROM vault.coupon x WHERE x.b = w.b AND x.owner = w.owner AND x.id = cr.coupon_id;
  SELECT * INTO t FROM vault.coupon_terms x WHERE x.terms = c.terms;
  v_result := CASE
    WHEN cr.id IS NULL OR c.id IS NULL THEN 'unknown'
    WHEN cr.state = 'burnt' OR cr.epoch <> w.epoch THEN 'revoked'
    WHEN cr.state = 'redeemed' THEN 'used'
    WHEN cr.expires_at <= p_at THEN 'expired'
    WHEN i.code_ok IS NOT TRUE THEN 'wrong_code'
    WHEN i.own_resident = w.owner THEN 'own_code'
    WHEN c.state <> 'issued' THEN 'coupon_' || c.state
    WHEN c.expires_on < (p_at AT TIME ZONE vault.zone())::date THEN 'coupon_expired'
    WHEN cardinality(t.merchants) > 0 AND i.merchant <> ALL (t.merchants) THEN 'wrong_merchant'
    WHEN cr.state = 'claimed' AND (cr.merchant_id <> i.merchant OR cr.terminal_id <> i.terminal) THEN 'claimed_elsewhere'
    WHEN NOT vault.acceptor_open(i.merchant, i.store, i.terminal, i.staff) THEN 'merchant_suspended'
    ELSE 'usable'
  END;
  IF v_result = 'unknown' THEN
    RETURN o;
  ELSIF v_result = 'wrong_code' AND cr.state = 'open' THEN
    UPDATE vault.credential x SET wrong_codes = x.wrong_codes + 1, state = CASE WHEN x.wrong_codes >= 4 THEN 'burnt' ELSE x.state END
    WHERE x.b = w.b AND x.id = cr.id;
  END IF;
  o.scan := ROW(w.b, w.owner, cr.id, i.merchant, i.store, i.terminal, i.staff, v_result, p_at,
    v_result = 'usable' AND cr.state = 'open', i.redemption, i.void);
  IF v_result = 'merchant_suspended' THEN
    o.status := 21;
  ELSIF v_result = 'usable' THEN
    o.status := 0;
    IF cr.state = 'open' THEN
      cr.redemption_id := i.redemption;
    END IF;
    o.answer := jsonb_build_object('owner', w.owner, 'credential_id', cr.id, 'redemption_id', cr.redemption_id, 'coupon_id', c.id,
      'terms', t.terms, 'expires_on', c.expires_on);
  END IF;
  RETURN o;
END $$;

-- The answer of a posting, first time and every time: built from its row and nothing else.
CREATE FUNCTION vault.answer_of(j vault.journal) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object('id', (j).id, 'owner', (j).owner, 'seq', (j).seq, 'at', (j).at, 'terms', (j).terms, 'points_after', (j).avail_after)
      || coalesce((j).detail, '{}')
$$;
