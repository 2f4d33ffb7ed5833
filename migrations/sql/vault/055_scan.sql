-- The scan of a code at a counter. A terminal claims the credential, or gets one uniform "not valid" (D27, D30); the reason goes to
-- the scan log only. A genuine code where it may be used, at a time when it may not, is told so; it is not claimed. A claim is replayed by its natural key: the same terminal gets the same redemption id again. Whose the handle is
-- was read from a directory before; here it is judged again, so that a directory that is wrong misleads nobody.

CREATE FUNCTION vault.decide_scan(f vault.facts, p_at timestamptz) RETURNS vault.outcome LANGUAGE plpgsql AS $$
DECLARE
  o vault.outcome;
  i vault.item := f.i;
  w vault.wallet := f.w;
  cr vault.credential := f.cr;
  c vault.coupon := f.c;
  t vault.coupon_terms := f.t;
  v_result text;
BEGIN
  o.status := 20;
  o.replayed := false;
  IF num_nulls(i.merchant, i.store, i.terminal, i.redemption, i.void) > 0 THEN
    o.status := 5;
    RETURN o;
  ELSIF cr.id IS NULL OR c.id IS NULL OR (cr.handle, cr.owner) IS DISTINCT FROM (i.handle, i.owner) THEN
    RETURN o;
  END IF;
  v_result := CASE
    WHEN cr.state = 'burnt' OR cr.epoch <> w.epoch THEN 'revoked'
    WHEN cr.state = 'redeemed' THEN 'used'
    WHEN cr.expires_at <= p_at THEN 'expired'
    WHEN i.code_ok IS NOT TRUE THEN 'wrong_code'
    WHEN i.own_resident = w.owner THEN 'own_code'
    WHEN vault.freeze_of(w, p_at) = 'frozen' THEN 'account_frozen'
    WHEN vault.state_of(c, p_at) <> 'issued' THEN 'coupon_' || c.state
    WHEN c.expires_on < vault.city_day(p_at) THEN 'coupon_expired'
    WHEN cardinality(t.merchants) > 0 AND i.merchant <> ALL (t.merchants) THEN 'wrong_merchant'
    WHEN cardinality(t.stores) > 0 AND i.store <> ALL (t.stores) THEN 'wrong_store'
    WHEN cr.state = 'claimed' AND (cr.merchant_id <> i.merchant OR cr.terminal_id <> i.terminal) THEN 'claimed_elsewhere'
    WHEN f.accepting IS NOT TRUE THEN 'merchant_suspended'
    WHEN NOT vault.is_usable_at(t, c, f.day_kind, p_at) THEN 'outside_window'
    ELSE 'usable'
  END;
  o.scan := ROW(w.b, w.owner, cr.id, i.merchant, i.store, i.terminal, i.staff, v_result, p_at,
    v_result = 'usable' AND cr.state = 'open', i.redemption, i.void, v_result = 'wrong_code' AND cr.state = 'open');
  IF v_result = 'merchant_suspended' THEN
    o.status := 21;
  ELSIF v_result = 'outside_window' THEN
    o.status := 16;
  ELSIF v_result = 'usable' THEN
    o.status := 0;
    o.answer := jsonb_build_object('owner', w.owner, 'credential_id', cr.id, 'coupon_id', c.id, 'terms', t.terms,
      'redemption_id', CASE cr.state WHEN 'open' THEN i.redemption ELSE cr.redemption_id END, 'expires_on', c.expires_on,
      'counted', cardinality(t.scoped_limits) > 0);
  END IF;
  RETURN o;
END $$;

-- Writes the scans of a round: claims, wrong codes (the fifth kills the showing), and the log.
CREATE FUNCTION vault.write_scans(p_scans vault.scan[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE vault.credential c
  SET state = 'claimed', merchant_id = x.merchant_id, store_id = x.store_id, terminal_id = x.terminal_id, staff_id = x.staff_id,
    claimed_at = x.at, redemption_id = x.redemption_id, void_id = x.void_id
  FROM unnest(p_scans) x WHERE x.claims AND c.b = x.b AND c.id = x.credential_id;
  UPDATE vault.credential c SET wrong_codes = c.wrong_codes + 1, state = CASE WHEN c.wrong_codes >= 4 THEN 'burnt' ELSE c.state END
  FROM unnest(p_scans) x WHERE x.miss AND c.b = x.b AND c.id = x.credential_id;
  INSERT INTO vault.scan_log (b, owner, credential_id, merchant_id, store_id, terminal_id, result, at)
  SELECT x.b, x.owner, x.credential_id, x.merchant_id, x.store_id, x.terminal_id, x.result, x.at FROM unnest(p_scans) x;
END $$;
