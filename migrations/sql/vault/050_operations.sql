-- The operations. Each `op_…` function decides, under the wallet's lock, what one item does: it reads, computes in memory, checks
-- and takes slots, and only then writes its own rows (D6). A refusal that writes nothing is returned before the first write.
-- What every posting writes (wallet, journal row) and what a redemption writes is left to `post`, which writes it for the whole
-- batch at once. Status numbers: `wallet/statuses.py`.

-- Earn: points from a campaign's budget into the lot of the month's end after the validity (D10). Internal only.
CREATE FUNCTION vault.op_earn(w vault.wallet, i vault.item, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  t vault.earn_terms;
  v_today date := (p_at AT TIME ZONE vault.zone())::date;
  v_expiry date;
  v_kept record;
BEGIN
  SELECT * INTO t FROM vault.earn_terms e WHERE e.terms = i.terms;
  IF NOT FOUND THEN
    RETURN vault.refusal(15);
  END IF;
  IF (i.earned_on <= v_today) IS NOT TRUE THEN
    RETURN vault.refusal(5);
  END IF;
  v_expiry := (date_trunc('month', i.earned_on + make_interval(months => t.validity_months)) + interval '1 month - 1 day')::date;
  IF v_expiry < v_today THEN
    RETURN vault.refusal(16);
  ELSIF vault.allowance_used(w.b, w.owner, t.limit_id) >= t.per_person THEN
    RETURN vault.refusal(14);
  END IF;
  v_kept := vault.drop_expired(w.lot_expiry, w.lot_points, v_today);
  SELECT x.st, x.takes, x.refill INTO m.st, m.takes, m.detail
  FROM vault.take_slots(vault.cell(w.b), t.points_budget, i.slot_a, t.points, NULL, NULL, 0) x;
  IF m.st <> 0 THEN
    RETURN m;
  END IF;
  PERFORM vault.use_allowance(w.b, w.owner, t.limit_id);
  SELECT a.new_expiry, a.new_points INTO m.lot_expiry, m.lot_points
  FROM vault.add_lot(v_kept.kept_expiry, v_kept.kept_points, v_expiry, t.points) a;
  m.d_avail := t.points;
  m.d_peer := -t.points;
  m.peer := t.points_budget;
  m.terms := t.terms;
  m.expired := v_kept.expired;
  m.expired_lots := v_kept.expired_lots;
  m.lots := jsonb_build_array(jsonb_build_array(v_expiry, t.points));
  m.detail := jsonb_build_object('points', t.points, 'expires_on', v_expiry, 'earned_on', i.earned_on);
  RETURN m;
END $$;

-- The most the sponsor can owe for one coupon of these terms.
CREATE FUNCTION vault.most_sponsored(t vault.coupon_terms) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT vault.share_of(CASE (t).kind WHEN 'discount' THEN (t).cap_fen ELSE (t).face_value_fen END, (t).sponsor_bp)
$$;

-- Claim (price 0) or exchange for points: stock −1 / out +1, the sponsor's share from the budget into reserved, points to the campaign.
CREATE FUNCTION vault.op_claim(w vault.wallet, i vault.item, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  t vault.coupon_terms;
  v_today date := (p_at AT TIME ZONE vault.zone())::date;
  v_expires date;
  v_reserved bigint;
  v_points record;
BEGIN
  SELECT * INTO t FROM vault.coupon_terms c WHERE c.terms = i.terms;
  IF NOT FOUND THEN
    RETURN vault.refusal(15);
  END IF;
  v_expires := least(v_today + CASE WHEN t.valid_days > 0 THEN t.valid_days ELSE 36500 END, t.valid_until);
  IF t.claim_from > p_at OR t.claim_until <= p_at OR v_expires < v_today THEN
    RETURN vault.refusal(16);
  ELSIF vault.allowance_used(w.b, w.owner, t.limit_id) >= t.per_person THEN
    RETURN vault.refusal(14);
  END IF;
  IF t.price_points > 0 THEN
    v_points := vault.take_lots(w.lot_expiry, w.lot_points, t.price_points, v_today);
    IF v_points.missing > 0 THEN
      RETURN vault.refusal(10);
    END IF;
    m.lot_expiry := v_points.left_expiry;
    m.lot_points := v_points.left_points;
    m.lots := v_points.taken;
    m.d_avail := -t.price_points;
    m.d_peer := t.price_points;
  END IF;
  v_reserved := vault.most_sponsored(t);
  SELECT x.st, x.takes, x.refill INTO m.st, m.takes, m.detail
  FROM vault.take_slots(vault.cell(w.b), t.stock_budget, i.slot_a, 1, t.fen_budget, i.slot_b, v_reserved) x;
  IF m.st <> 0 THEN
    RETURN m;
  END IF;
  PERFORM vault.use_allowance(w.b, w.owner, t.limit_id);
  INSERT INTO vault.coupon (b, owner, id, terms, state, expires_on, reserved_fen, issued_at)
  VALUES (w.b, w.owner, i.id, t.terms, 'issued', v_expires, v_reserved, p_at);
  m.c_stock := -1;
  m.c_out := 1;
  m.c_used := 0;
  m.c_gone := 0;
  IF v_reserved > 0 THEN
    m.f_budget := -v_reserved;
    m.f_reserved := v_reserved;
    m.f_payable := 0;
  END IF;
  m.peer := t.template;
  m.terms := t.terms;
  m.detail := jsonb_build_object('coupon_id', i.id, 'template_id', t.template, 'price_points', t.price_points, 'expires_on', v_expires);
  RETURN m;
END $$;

-- The discount of one redemption, in fen, and the refusal when the order amount does not fit the terms (D32).
CREATE FUNCTION vault.discount_of(t vault.coupon_terms, p_order_fen bigint, OUT st smallint, OUT discount_fen bigint)
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  st := 0;
  IF (t).threshold_fen = 0 AND (t).kind <> 'discount' THEN
    IF p_order_fen IS NOT NULL THEN
      st := 34;
    END IF;
    discount_fen := (t).face_value_fen;
  ELSIF p_order_fen IS NULL OR p_order_fen <= 0 OR p_order_fen > 100000000000 THEN
    st := 33;
  ELSIF p_order_fen < (t).threshold_fen THEN
    st := 32;
  ELSIF (t).kind = 'discount' THEN
    discount_fen := least(vault.share_of(p_order_fen, 10000 - (t).pay_bp), (t).cap_fen);
  ELSE
    discount_fen := least((t).face_value_fen, p_order_fen);
  END IF;
END $$;

-- Redeem: the credential is spent, out −1 / used +1, reserved −a / payable(merchant) +a, the redemption is written; it takes no slot.
CREATE FUNCTION vault.op_redeem(w vault.wallet, i vault.item, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  cr vault.credential;
  c vault.coupon;
  t vault.coupon_terms;
  v_discount record;
  v_sponsor bigint;
  v_void_until timestamptz;
BEGIN
  SELECT * INTO cr FROM vault.credential x WHERE x.b = w.b AND x.id = i.credential;
  IF NOT FOUND OR cr.owner <> w.owner OR cr.redemption_id IS DISTINCT FROM i.id THEN
    RETURN vault.refusal(39);
  ELSIF cr.merchant_id <> i.merchant OR cr.terminal_id <> i.terminal THEN
    RETURN vault.refusal(31);
  ELSIF (i.ticket_expires_at > p_at) IS NOT TRUE THEN
    RETURN vault.refusal(30);
  ELSIF NOT vault.acceptor_open(i.merchant, i.store, i.terminal, i.staff) THEN
    RETURN vault.refusal(21);
  ELSIF cr.state <> 'claimed' OR cr.epoch <> w.epoch THEN
    RETURN vault.refusal(39);
  END IF;
  SELECT * INTO c FROM vault.coupon x WHERE x.b = w.b AND x.owner = w.owner AND x.id = cr.coupon_id;
  SELECT * INTO t FROM vault.coupon_terms x WHERE x.terms = c.terms;
  IF c.state <> 'issued' THEN
    RETURN vault.refusal(36);
  ELSIF c.expires_on < (p_at AT TIME ZONE vault.zone())::date THEN
    RETURN vault.refusal(35);
  END IF;
  v_discount := vault.discount_of(t, i.order_amount_fen);
  IF v_discount.st <> 0 THEN
    RETURN vault.refusal(v_discount.st);
  END IF;
  v_sponsor := least(vault.share_of(v_discount.discount_fen, t.sponsor_bp), c.reserved_fen);
  v_void_until := p_at + make_interval(secs => t.void_window_s);
  m.redemption := ROW(w.b, i.id, w.owner, cr.id, cr.void_id, c.id, t.terms, i.merchant, i.store, i.terminal, i.staff,
    i.order_amount_fen, v_discount.discount_fen, v_sponsor, (p_at AT TIME ZONE vault.zone())::date, p_at, v_void_until);
  m.st := 0;
  m.c_stock := 0;
  m.c_out := -1;
  m.c_used := 1;
  m.c_gone := 0;
  IF v_sponsor > 0 THEN
    m.f_budget := 0;
    m.f_reserved := -v_sponsor;
    m.f_payable := v_sponsor;
  END IF;
  m.peer := i.merchant;
  m.terms := t.terms;
  m.ref := c.id;
  m.detail := jsonb_build_object('coupon_id', c.id, 'credential_id', cr.id, 'merchant_id', i.merchant, 'store_id', i.store,
    'order_amount_fen', i.order_amount_fen, 'discount_fen', v_discount.discount_fen, 'sponsor_fen', v_sponsor, 'void_until', v_void_until);
  RETURN m;
END $$;

-- Void inside the window: the exact negatives of the redemption; the coupon is issued again and its expiry date judges the rest (D34).
-- `p_redemption` was found for the item before the replay look-up, because the void's id is kept there.
CREATE FUNCTION vault.op_void(w vault.wallet, i vault.item, p_at timestamptz, r vault.redemption) RETURNS vault.movement
LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  c vault.coupon;
  t vault.coupon_terms;
  v_expires date;
BEGIN
  IF NOT vault.acceptor_open(i.merchant, i.store, i.terminal, i.staff) THEN
    RETURN vault.refusal(21);
  ELSIF p_at > r.void_until THEN
    RETURN vault.refusal(37);
  ELSIF length(i.reason) BETWEEN 1 AND 200 IS NOT TRUE THEN
    RETURN vault.refusal(5);
  END IF;
  SELECT * INTO c FROM vault.coupon x WHERE x.b = w.b AND x.owner = w.owner AND x.id = r.coupon_id;
  SELECT * INTO t FROM vault.coupon_terms x WHERE x.terms = r.terms;
  IF c.state <> 'redeemed' OR c.redemption_id IS DISTINCT FROM r.id THEN
    RETURN vault.refusal(36);
  END IF;
  v_expires := CASE WHEN t.grace_days > 0
    THEN greatest(c.expires_on, (p_at AT TIME ZONE vault.zone())::date + t.grace_days) ELSE c.expires_on END;
  INSERT INTO vault.redemption_void (b, id, redemption_id, reason, terminal_id, staff_id, at)
  VALUES (w.b, i.id, r.id, i.reason, i.terminal, i.staff, p_at);
  UPDATE vault.coupon SET state = 'issued', redemption_id = NULL, reserved_fen = reserved_fen + r.sponsor_fen, expires_on = v_expires
  WHERE b = w.b AND owner = w.owner AND id = c.id;
  m.st := 0;
  m.c_stock := 0;
  m.c_out := 1;
  m.c_used := -1;
  m.c_gone := 0;
  IF r.sponsor_fen > 0 THEN
    m.f_budget := 0;
    m.f_reserved := r.sponsor_fen;
    m.f_payable := -r.sponsor_fen;
  END IF;
  m.peer := r.merchant_id;
  m.terms := r.terms;
  m.ref := r.id;
  m.detail := jsonb_build_object('coupon_id', c.id, 'redemption_id', r.id, 'reason', i.reason, 'expires_on', v_expires,
    'merchant_id', r.merchant_id, 'store_id', r.store_id, 'discount_fen', r.discount_fen, 'sponsor_fen', r.sponsor_fen);
  RETURN m;
END $$;

-- Expire a coupon whose last day is over: out −1 / gone +1 (or stock +1 by the terms), what the sponsor reserved goes back. Internal only.
CREATE FUNCTION vault.op_expire_coupon(w vault.wallet, i vault.item, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  c vault.coupon;
  t vault.coupon_terms;
BEGIN
  SELECT * INTO c FROM vault.coupon x WHERE x.b = w.b AND x.owner = w.owner AND x.id = i.coupon;
  IF NOT FOUND OR c.state <> 'issued' THEN
    RETURN vault.refusal(36);
  ELSIF c.expires_on >= (p_at AT TIME ZONE vault.zone())::date THEN
    RETURN vault.refusal(40);
  END IF;
  SELECT * INTO t FROM vault.coupon_terms x WHERE x.terms = c.terms;
  m.st := 0;
  m.c_stock := CASE WHEN t.return_stock THEN 1 ELSE 0 END;
  m.c_out := -1;
  m.c_used := 0;
  m.c_gone := 1 - m.c_stock;
  m.takes := vault.give_back(vault.cell(w.b), i.takes, t.stock_budget, m.c_stock)
          || vault.give_back(vault.cell(w.b), i.takes, t.fen_budget, c.reserved_fen);
  IF c.reserved_fen > 0 THEN
    m.f_budget := c.reserved_fen;
    m.f_reserved := -c.reserved_fen;
    m.f_payable := 0;
  END IF;
  UPDATE vault.coupon SET state = 'expired', reserved_fen = 0 WHERE b = w.b AND owner = w.owner AND id = c.id;
  m.peer := t.template;
  m.terms := t.terms;
  m.ref := c.id;
  m.detail := jsonb_build_object('coupon_id', c.id, 'expired_on', c.expires_on);
  RETURN m;
END $$;

-- After the void window, what a redemption left in reserve goes back to the sponsor's budget (D1). Internal only.
CREATE FUNCTION vault.op_release_subsidy(w vault.wallet, i vault.item, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  c vault.coupon;
  r vault.redemption;
  t vault.coupon_terms;
BEGIN
  SELECT * INTO c FROM vault.coupon x WHERE x.b = w.b AND x.owner = w.owner AND x.id = i.coupon;
  IF NOT FOUND OR c.state <> 'redeemed' OR c.reserved_fen = 0 THEN
    RETURN vault.refusal(36);
  END IF;
  SELECT * INTO r FROM vault.redemption x WHERE x.b = w.b AND x.id = c.redemption_id;
  IF p_at <= r.void_until THEN
    RETURN vault.refusal(40);
  END IF;
  SELECT * INTO t FROM vault.coupon_terms x WHERE x.terms = c.terms;
  m.st := 0;
  m.f_budget := c.reserved_fen;
  m.f_reserved := -c.reserved_fen;
  m.f_payable := 0;
  m.takes := vault.give_back(vault.cell(w.b), i.takes, t.fen_budget, c.reserved_fen);
  UPDATE vault.coupon SET reserved_fen = 0 WHERE b = w.b AND owner = w.owner AND id = c.id;
  m.peer := t.template;
  m.terms := t.terms;
  m.ref := c.id;
  m.detail := jsonb_build_object('coupon_id', c.id, 'redemption_id', r.id);
  RETURN m;
END $$;
