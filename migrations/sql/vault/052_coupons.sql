-- What the operations on coupons decide; rules as in 050_points.sql. A coupon is returned as it shall be afterwards.

-- A lock whose life is over counts as lifted, whether or not a job has booked that.
CREATE FUNCTION vault.state_of(c vault.coupon, p_at timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN (c).state = 'locked' AND (c).locked_until <= p_at THEN 'issued' ELSE (c).state END
$$;

-- Where one coupon moves: out of issue into use, into gone, back into stock.
CREATE FUNCTION vault.coupon_legs(m vault.movement, p_stock bigint, p_out bigint, p_used bigint, p_gone bigint) RETURNS vault.movement
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  m.st := 0;
  m.c_stock := p_stock;
  m.c_out := p_out;
  m.c_used := p_used;
  m.c_gone := p_gone;
  RETURN m;
END $$;

-- Moves fen between the sponsor's budget, what coupons reserve of it and what is payable; a unit that does not move stays NULL.
CREATE FUNCTION vault.fen_legs(m vault.movement, p_budget bigint, p_reserved bigint, p_payable bigint) RETURNS vault.movement
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF p_reserved <> 0 THEN
    m.f_budget := p_budget;
    m.f_reserved := p_reserved;
    m.f_payable := p_payable;
  END IF;
  RETURN m;
END $$;

-- Claim (price 0) or exchange for points: stock −1 / out +1, what may be paid for it from the budget into reserved, points to the template.
-- By the worker's door it is a grant: the house gives the coupon and says out of what (`reason`). It costs no points and has no hours,
-- as its reason has its own; stock, budget and each person's limits bound it like any claim.
CREATE FUNCTION vault.decide_claim(f vault.facts, p_at timestamptz, p_internal boolean) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  i vault.item := f.i;
  t vault.coupon_terms := f.t;
  v_today date := vault.city_day(p_at);
  v_price bigint := CASE WHEN p_internal THEN 0 ELSE t.price_points END;
  v_first date;
  v_expires date;
  v_reserved bigint;
  v_limits record;
  v_places vault.movement;
  v_points record;
BEGIN
  IF p_internal AND NOT vault.short_text(i.reason, 120) THEN
    RETURN vault.refusal(5);
  ELSIF t.terms IS NULL THEN
    RETURN vault.refusal(15);
  END IF;
  v_first := vault.first_day(t, v_today);
  v_expires := least(v_first + CASE WHEN t.valid_days > 0 THEN t.valid_days ELSE 36500 END, t.valid_until);
  IF NOT p_internal AND (t.claim_from > p_at OR t.claim_until <= p_at) OR v_expires < v_first THEN
    RETURN vault.refusal(16);
  END IF;
  v_limits := vault.count_limits(t.person_limits, f.used, 'issue', i.owner, v_today, 1, v_price, t.face_value_fen);
  IF v_limits.reached THEN
    RETURN vault.refusal(14);
  END IF;
  IF v_price > 0 THEN
    v_points := vault.take_lots((f.w).lot_expiry, (f.w).lot_points, v_price, v_today);
    IF v_points.missing > 0 THEN
      RETURN vault.refusal(10);
    END IF;
  END IF;
  v_reserved := vault.most_paid(t);
  IF cardinality(t.scoped_limits) > 0 THEN
    v_places := vault.check_counters(f, t.scoped_limits, 'issue', v_today, v_price, t.face_value_fen, v_reserved);
    IF v_places.st <> 0 THEN
      RETURN v_places;
    END IF;
  END IF;
  m := vault.check_slots(f, 1, v_reserved);
  IF m.st <> 0 THEN
    RETURN m;
  END IF;
  m := vault.fen_legs(vault.coupon_legs(m, -1, 1, 0, 0), -v_reserved, v_reserved, 0);
  IF v_price > 0 THEN
    m.lot_expiry := v_points.left_expiry;
    m.lot_points := v_points.left_points;
    m.lots := v_points.taken;
    m.d_avail := -v_price;
    m.d_held := 0;
    m.d_peer := v_price;
  END IF;
  m.allowances := v_limits.allowances;
  m.counted := v_places.counted;
  m.coupon := ROW(i.b, i.owner, i.id, t.terms, 'issued', v_expires, v_reserved, NULL, NULL, NULL, p_at);
  m.peer := t.template;
  m.terms := t.terms;
  m.detail := jsonb_build_object('coupon_id', i.id, 'template_id', t.template, 'price_points', v_price, 'usable_from', v_first,
    'expires_on', v_expires)
    || CASE WHEN p_internal THEN jsonb_build_object('granted', i.reason) ELSE '{}' END;
  RETURN m;
END $$;

-- May this item redeem the coupon at all? By a showing that its terminal has claimed, or by the lock of a partner's order. 0: yes.
CREATE FUNCTION vault.redeemable(f vault.facts, p_at timestamptz) RETURNS smallint LANGUAGE plpgsql AS $$
DECLARE
  i vault.item := f.i;
  cr vault.credential := f.cr;
  c vault.coupon := f.c;
BEGIN
  IF i.lock IS NULL THEN
    IF cr.id IS NULL OR cr.owner <> i.owner OR cr.redemption_id IS DISTINCT FROM i.id THEN
      RETURN 39;
    ELSIF cr.merchant_id <> i.merchant OR cr.terminal_id <> i.terminal THEN
      RETURN 31;
    ELSIF (i.ticket_expires_at > p_at) IS NOT TRUE THEN
      RETURN 30;
    ELSIF f.accepting IS NOT TRUE THEN
      RETURN 21;
    ELSIF cr.state <> 'claimed' OR cr.epoch <> (f.w).epoch THEN
      RETURN 39;
    ELSIF vault.state_of(c, p_at) <> 'issued' THEN
      RETURN 36;
    END IF;
  ELSE
    IF num_nulls(i.void, i.merchant, i.store, i.terminal) > 0 OR i.void = i.id OR vault.id_version(i.void) <> 7
       OR vault.id_time(i.void) NOT BETWEEN p_at - interval '48 hours' AND p_at + interval '5 minutes' THEN
      RETURN 5;
    ELSIF f.accepting IS NOT TRUE THEN
      RETURN 21;
    ELSIF (c.state = 'locked' AND c.lock_id = i.lock) IS NOT TRUE THEN
      RETURN 36;
    ELSIF c.locked_until <= p_at THEN
      RETURN 42;
    END IF;
  END IF;
  RETURN CASE
    WHEN NOT vault.is_accepted_at(f.t, i.merchant, i.store) THEN 20
    WHEN c.expires_on < vault.city_day(p_at) THEN 35
    WHEN NOT vault.is_usable_at(f.t, c, f.day_kind, p_at) THEN 16
    ELSE 0 END;
END $$;

-- Redeem: the showing or lock is spent, out −1 / used +1, reserved −a / payable(merchant) +a; it takes no slot.
CREATE FUNCTION vault.decide_redeem(f vault.facts, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  i vault.item := f.i;
  c vault.coupon := f.c;
  t vault.coupon_terms := f.t;
  v_status smallint := vault.redeemable(f, p_at);
  v_today date := vault.city_day(p_at);
  v_spent uuid := coalesce(i.lock, (f.cr).id);
  v_discount record;
  v_limits record;
  v_places vault.movement;
  v_share record;
  v_void_until timestamptz;
BEGIN
  IF v_status <> 0 THEN
    RETURN vault.refusal(v_status);
  END IF;
  v_discount := vault.discount_of(t, i.order_no, i.order_amount_fen, f.o);
  IF v_discount.st <> 0 THEN
    RETURN vault.refusal(v_discount.st);
  END IF;
  v_limits := vault.count_limits(t.person_limits, f.used, 'redeem', i.owner, v_today, 1, 0, v_discount.discount_fen);
  IF v_limits.reached THEN
    RETURN vault.refusal(14);
  END IF;
  v_share := vault.funding_of(t.platform_bp, t.sponsor_bp, t.merchant_bp, v_discount.discount_fen);
  IF cardinality(t.scoped_limits) > 0 THEN
    v_places := vault.check_counters(f, t.scoped_limits, 'redeem', v_today, 0, v_discount.discount_fen, v_share.paid_fen);
    IF v_places.st <> 0 THEN
      RETURN v_places;
    END IF;
  END IF;
  v_void_until := p_at + make_interval(secs => t.void_window_s);
  m := vault.fen_legs(vault.coupon_legs(m, 0, -1, 1, 0), 0, -v_share.paid_fen, v_share.paid_fen);
  m.allowances := v_limits.allowances;
  m.counted := v_places.counted;
  m.redemption := ROW(i.b, i.id, i.owner, v_spent, coalesce((f.cr).void_id, i.void), c.id, t.terms, i.merchant, i.store, i.terminal,
    i.staff, i.order_no, i.order_amount_fen, v_discount.discount_fen, v_share.platform_fen, v_share.sponsor_fen, v_share.merchant_fen, v_today,
    p_at, v_void_until, CASE WHEN m.counted IS NOT NULL THEN vault.counted_of(i.counters, m.counted) END);
  c.state := 'redeemed';
  c.redemption_id := i.id;
  c.reserved_fen := c.reserved_fen - v_share.paid_fen;
  c.lock_id := NULL;
  c.locked_until := NULL;
  m.coupon := c;
  m.peer := i.merchant;
  m.terms := t.terms;
  m.ref := c.id;
  m.detail := jsonb_build_object('coupon_id', c.id, 'credential_id', v_spent, 'merchant_id', i.merchant, 'store_id', i.store,
    'order_no', i.order_no, 'order_amount_fen', i.order_amount_fen, 'discount_fen', v_discount.discount_fen,
    'platform_fen', v_share.platform_fen, 'sponsor_fen', v_share.sponsor_fen, 'merchant_fen', v_share.merchant_fen,
    'void_until', v_void_until);
  RETURN m;
END $$;

-- Void inside the window: the exact negatives of the redemption; the coupon returns. When its last day is over and the terms give no
-- grace it is expired at once: what it reserved goes back to the budgets, by a row that follows (`note`).
CREATE FUNCTION vault.decide_void(f vault.facts, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  i vault.item := f.i;
  c vault.coupon := f.c;
  t vault.coupon_terms := f.t;
  r vault.redemption := f.r;
  v_today date := vault.city_day(p_at);
  v_paid bigint := r.platform_fen + r.sponsor_fen;
BEGIN
  IF f.accepting IS NOT TRUE THEN
    RETURN vault.refusal(21);
  ELSIF p_at > r.void_until THEN
    RETURN vault.refusal(37);
  ELSIF NOT vault.short_text(i.reason, 200) THEN
    RETURN vault.refusal(5);
  ELSIF c.state <> 'redeemed' OR c.redemption_id IS DISTINCT FROM r.id THEN
    RETURN vault.refusal(36);
  END IF;
  m := vault.fen_legs(vault.coupon_legs(m, 0, 1, -1, 0), 0, v_paid, -v_paid);
  m.allowances := (vault.count_limits(t.person_limits, NULL, 'redeem', i.owner, r.business_date, -1, 0, r.discount_fen)).allowances;
  IF r.counted IS NOT NULL THEN
    SELECT array_agg(-(x.taken ->> 1)::bigint ORDER BY x.k) INTO m.counted
    FROM jsonb_array_elements(r.counted) WITH ORDINALITY x (taken, k);
  END IF;
  c.expires_on := CASE WHEN t.grace_days > 0 THEN greatest(c.expires_on, v_today + t.grace_days) ELSE c.expires_on END;
  c.reserved_fen := c.reserved_fen + v_paid;
  c.redemption_id := NULL;
  c.state := 'issued';
  IF c.expires_on < v_today THEN
    c.state := 'expired';
    m.take_a := CASE WHEN t.return_stock THEN -1 ELSE 0 END;
    m.take_b := -c.reserved_fen;
    c.reserved_fen := 0;
  END IF;
  m.coupon := c;
  m.voided := ROW(i.b, i.id, r.id, i.reason, i.terminal, i.staff, p_at);
  m.peer := r.merchant_id;
  m.terms := r.terms;
  m.ref := r.id;
  m.detail := jsonb_build_object('coupon_id', c.id, 'redemption_id', r.id, 'reason', i.reason, 'expires_on', c.expires_on,
    'state', c.state, 'merchant_id', r.merchant_id, 'store_id', r.store_id, 'order_no', r.order_no,
    'discount_fen', r.discount_fen, 'platform_fen', r.platform_fen, 'sponsor_fen', r.sponsor_fen, 'merchant_fen', r.merchant_fen);
  RETURN m;
END $$;

-- The legs of a coupon that will never be used: out −1 / gone +1 (or stock +1 by the terms), what the sponsor reserved goes back.
CREATE FUNCTION vault.gone_legs(m vault.movement, t vault.coupon_terms, p_reserved bigint) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  v_stock bigint := CASE WHEN (t).return_stock THEN 1 ELSE 0 END;
BEGIN
  m := vault.fen_legs(vault.coupon_legs(m, v_stock, -1, 0, 1 - v_stock), p_reserved, -p_reserved, 0);
  m.take_a := -v_stock;
  m.take_b := -p_reserved;
  RETURN m;
END $$;

-- Expire a coupon whose last day is over. Internal only.
CREATE FUNCTION vault.decide_expire_coupon(f vault.facts, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  c vault.coupon := f.c;
BEGIN
  IF c.id IS NULL OR vault.state_of(c, p_at) <> 'issued' THEN
    RETURN vault.refusal(36);
  ELSIF c.expires_on >= vault.city_day(p_at) THEN
    RETURN vault.refusal(40);
  END IF;
  m := vault.gone_legs(m, f.t, c.reserved_fen);
  c.state := 'expired';
  c.reserved_fen := 0;
  c.lock_id := NULL;
  c.locked_until := NULL;
  m.coupon := c;
  m.peer := (f.t).template;
  m.terms := c.terms;
  m.ref := c.id;
  m.detail := jsonb_build_object('coupon_id', c.id, 'expired_on', c.expires_on);
  RETURN m;
END $$;

-- After the void window, what a redemption left in reserve goes back to the sponsor's budget (D1). Internal only.
CREATE FUNCTION vault.decide_release_subsidy(f vault.facts, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  c vault.coupon := f.c;
BEGIN
  IF c.id IS NULL OR c.state <> 'redeemed' OR c.reserved_fen = 0 THEN
    RETURN vault.refusal(36);
  ELSIF p_at <= (f.r).void_until THEN
    RETURN vault.refusal(40);
  END IF;
  m.st := 0;
  m := vault.fen_legs(m, c.reserved_fen, -c.reserved_fen, 0);
  m.take_b := -c.reserved_fen;
  c.reserved_fen := 0;
  m.coupon := c;
  m.peer := (f.t).template;
  m.terms := c.terms;
  m.ref := c.id;
  m.detail := jsonb_build_object('coupon_id', c.id, 'redemption_id', (f.r).id);
  RETURN m;
END $$;

-- Lock a coupon for one partner's order, for at most 15 minutes (D34); unlock it with the lock's own id, or, internally, when its
-- life is over. Rows without legs: nothing moves, but who did it when is on record.
CREATE FUNCTION vault.decide_lock(f vault.facts, p_at timestamptz, p_internal boolean) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  i vault.item := f.i;
  c vault.coupon := f.c;
BEGIN
  IF i.op = 14 THEN
    IF (i.life_s BETWEEN 1 AND 900 AND i.actor > 0) IS NOT TRUE OR NOT vault.short_text(i.request_no, 64) THEN
      RETURN vault.refusal(5);
    ELSIF c.id IS NULL OR vault.state_of(c, p_at) <> 'issued' THEN
      RETURN vault.refusal(36);
    ELSIF c.expires_on < vault.city_day(p_at) THEN
      RETURN vault.refusal(35);
    END IF;
    c.state := 'locked';
    c.lock_id := i.id;
    c.locked_until := p_at + make_interval(secs => i.life_s);
  ELSE
    IF NOT vault.short_text(i.reason, 200) THEN
      RETURN vault.refusal(5);
    ELSIF (c.state = 'locked' AND c.lock_id = i.lock) IS NOT TRUE THEN
      RETURN vault.refusal(36);
    ELSIF p_internal AND c.locked_until > p_at THEN
      RETURN vault.refusal(40);
    END IF;
    c.state := 'issued';
    c.lock_id := NULL;
    c.locked_until := NULL;
  END IF;
  m.st := 0;
  m.coupon := c;
  m.terms := c.terms;
  m.ref := c.id;
  m.detail := CASE i.op
    WHEN 14 THEN jsonb_build_object('coupon_id', c.id, 'locked_until', c.locked_until, 'request_no', i.request_no, 'actor', i.actor)
    ELSE jsonb_build_object('coupon_id', c.id, 'lock_id', i.lock, 'reason', i.reason) END;
  RETURN m;
END $$;

-- Void a coupon that was not used (a mistake, fraud): it is gone, its reserve goes back, and so does its price in points: to the lots
-- it came from, those past their day renewed as in a refund.
CREATE FUNCTION vault.decide_void_coupon(f vault.facts, p_at timestamptz) RETURNS vault.movement LANGUAGE plpgsql AS $$
DECLARE
  m vault.movement;
  i vault.item := f.i;
  c vault.coupon := f.c;
  v_today date := vault.city_day(p_at);
  v_price bigint := coalesce((f.s).d_peer, 0);
BEGIN
  IF NOT vault.short_text(i.reason, 200) OR (i.actor > 0) IS NOT TRUE THEN
    RETURN vault.refusal(5);
  ELSIF (c.state IN ('issued', 'locked')) IS NOT TRUE THEN
    RETURN vault.refusal(36);
  ELSIF c.expires_on < v_today THEN
    RETURN vault.refusal(35);
  END IF;
  m := vault.gone_legs(m, f.t, c.reserved_fen);
  IF v_price > 0 THEN
    m.lots := (vault.renew_lots((f.s).lots, v_today, vault.lot_day(v_today + 30, 0))).new_lots;
    SELECT a.new_expiry, a.new_points INTO m.lot_expiry, m.lot_points FROM vault.add_lots((f.w).lot_expiry, (f.w).lot_points, m.lots) a;
    m.d_avail := v_price;
    m.d_held := 0;
    m.d_peer := -v_price;
  END IF;
  c.state := 'voided';
  c.reserved_fen := 0;
  c.lock_id := NULL;
  c.locked_until := NULL;
  m.coupon := c;
  m.peer := (f.t).template;
  m.terms := c.terms;
  m.ref := c.id;
  m.detail := jsonb_build_object('coupon_id', c.id, 'points', v_price, 'reason', i.reason, 'actor', i.actor);
  RETURN m;
END $$;
