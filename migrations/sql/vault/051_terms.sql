-- What coupon terms say: what a coupon saves on an order, who bears that, and where and when it can be used.

-- What a customer saves, borne by the three in their shares: each its share's whole fen, and what is left, fen by fen, to whom the
-- largest fraction is missing; of equal fractions first the platform's, then the sponsor's. So the parts always add up, and what is
-- paid to the merchant, platform's and sponsor's part, never falls when the discount grows.
CREATE FUNCTION vault.funding_of(p_platform_bp integer, p_sponsor_bp integer, p_merchant_bp integer, p_discount_fen bigint,
  OUT platform_fen bigint, OUT sponsor_fen bigint,
  OUT merchant_fen bigint, OUT paid_fen bigint) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  v_platform bigint := p_discount_fen * p_platform_bp % 10000;
  v_sponsor bigint := p_discount_fen * p_sponsor_bp % 10000;
  v_merchant bigint := p_discount_fen * p_merchant_bp % 10000;
BEGIN
  platform_fen := p_discount_fen * p_platform_bp / 10000;
  sponsor_fen := p_discount_fen * p_sponsor_bp / 10000;
  merchant_fen := p_discount_fen * p_merchant_bp / 10000;
  WHILE platform_fen + sponsor_fen + merchant_fen < p_discount_fen LOOP
    IF v_platform >= v_sponsor AND v_platform >= v_merchant THEN
      platform_fen := platform_fen + 1;
      v_platform := -1;
    ELSIF v_sponsor >= v_merchant THEN
      sponsor_fen := sponsor_fen + 1;
      v_sponsor := -1;
    ELSE
      merchant_fen := merchant_fen + 1;
      v_merchant := -1;
    END IF;
  END LOOP;
  paid_fen := platform_fen + sponsor_fen;
END $$;

-- The most that can be paid for one coupon of these terms: reserved at the claim.
CREATE FUNCTION vault.most_paid(t vault.coupon_terms) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN (vault.funding_of(t.platform_bp, t.sponsor_bp, t.merchant_bp, CASE t.kind WHEN 'discount' THEN t.cap_fen ELSE t.face_value_fen END)).paid_fen;
END $$;

-- What a customer saves on an order, in fen, and the refusal when the order does not fit the terms (D32) or the coupon does not fit
-- on it: another of its stacking group is there, or the order has nothing left to save on.
CREATE FUNCTION vault.discount_of(t vault.coupon_terms, p_order_no text, p_order_fen bigint, o vault.order_so_far, OUT st smallint,
  OUT discount_fen bigint)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  v_left_fen bigint;
BEGIN
  st := 0;
  IF p_order_no IS NULL AND t.stacking_group IS NOT NULL THEN
    st := 43;
  ELSIF p_order_no IS NOT NULL AND NOT vault.short_text(p_order_no, 64) THEN
    st := 5;
  ELSIF t.threshold_fen = 0 AND t.kind <> 'discount' THEN
    IF p_order_fen IS NOT NULL THEN
      st := 34;
    END IF;
    discount_fen := t.face_value_fen;
  ELSIF p_order_fen IS NULL OR p_order_fen <= 0 OR p_order_fen > 100000000000 THEN
    st := 33;
  ELSIF p_order_fen < t.threshold_fen THEN
    st := 32;
  ELSIF t.kind = 'discount' THEN
    discount_fen := least(vault.share_of(p_order_fen, 10000 - t.pay_bp), t.cap_fen);
  ELSE
    discount_fen := least(t.face_value_fen, p_order_fen);
  END IF;
  IF st = 0 AND p_order_no IS NOT NULL THEN
    v_left_fen := least(p_order_fen, o.order_amount_fen) - o.discount_fen;
    IF o.stacked >= least(t.most_per_order, o.most_per_order) OR v_left_fen < least(discount_fen, 1) THEN
      st := 44;
    END IF;
    discount_fen := least(discount_fen, v_left_fen);
  END IF;
END $$;

-- What this resident's coupons did on this order until now. A voided redemption did nothing.
CREATE FUNCTION vault.read_order(i vault.item, p_group text) RETURNS vault.order_so_far LANGUAGE plpgsql STABLE AS $$
DECLARE
  o vault.order_so_far;
BEGIN
  SELECT count(*) FILTER (WHERE t.stacking_group = p_group), min(t.most_per_order) FILTER (WHERE t.stacking_group = p_group),
    coalesce(sum(r.discount_fen), 0), min(r.order_amount_fen)
  INTO o.stacked, o.most_per_order, o.discount_fen, o.order_amount_fen
  FROM vault.redemption r JOIN vault.coupon_terms t ON t.terms = r.terms
  WHERE r.b = i.b AND r.owner = i.owner AND r.merchant_id = i.merchant AND r.order_no = i.order_no
    AND NOT EXISTS (SELECT FROM vault.redemption_void v WHERE v.b = r.b AND v.redemption_id = r.id);
  RETURN o;
END $$;

-- Whether the terms let a merchant's store take the coupon.
CREATE FUNCTION vault.is_accepted_at(t vault.coupon_terms, p_merchant bigint, p_store bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN (cardinality(t.merchants) = 0 OR p_merchant = ANY (t.merchants)) AND (cardinality(t.stores) = 0 OR p_store = ANY (t.stores));
END $$;

-- The first day on which a coupon can be used that was issued on this day.
CREATE FUNCTION vault.first_day(t vault.coupon_terms, p_issued_on date) RETURNS date LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN greatest(p_issued_on + t.starts_after_days, t.valid_from);
END $$;

-- How this day differs from its weekday ('workday', 'holiday'), NULL when it does not.
CREATE FUNCTION vault.kind_of_day(p_day date) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT d.kind FROM vault.calendar_day d WHERE d.day = p_day);
END $$;

-- Whether a window is open on this day.
CREATE FUNCTION vault.opens_on(w vault.usable_window, p_day date, p_day_kind text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  v_weekday integer := extract(isodow FROM p_day);
BEGIN
  RETURN v_weekday = ANY (w.weekdays)
    AND w.day IN ('any', coalesce(p_day_kind, CASE WHEN v_weekday >= 6 THEN 'holiday' ELSE 'workday' END));
END $$;

-- Whether a coupon can be used at this instant: from its first day on, and inside one of its terms' windows. Its last day is judged
-- where it is read.
CREATE FUNCTION vault.is_usable_at(t vault.coupon_terms, c vault.coupon, p_day_kind text, p_at timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
  w vault.usable_window;
  v_at timestamp;
  v_minute integer;
BEGIN
  IF cardinality(t.windows) = 0 AND t.starts_after_days = 0 AND t.valid_from IS NULL THEN
    RETURN true;
  END IF;
  v_at := p_at AT TIME ZONE vault.zone();
  IF (t.starts_after_days > 0 OR t.valid_from IS NOT NULL) AND v_at::date < vault.first_day(t, vault.city_day(c.issued_at)) THEN
    RETURN false;
  END IF;
  v_minute := extract(hour FROM v_at) * 60 + extract(minute FROM v_at);
  FOREACH w IN ARRAY t.windows LOOP
    IF vault.opens_on(w, v_at::date, p_day_kind) AND v_minute >= w.from_minute AND v_minute < w.until_minute THEN
      RETURN true;
    END IF;
  END LOOP;
  RETURN cardinality(t.windows) = 0;
END $$;

-- The first instant, not before `p_at`, at which coupons of these terms can be used that may be used from one day through another;
-- NULL: never, as far as the next 400 days tell. For people to read; nothing is decided by it.
CREATE FUNCTION vault.usable_next(p_terms bigint, p_first date, p_last date, p_at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  t vault.coupon_terms;
  w vault.usable_window;
  v_day date := greatest(vault.city_day(p_at), p_first);
  v_last date := least(p_last, vault.city_day(p_at) + 400);
  v_from timestamptz;
  v_next timestamptz;
BEGIN
  SELECT * INTO t FROM vault.coupon_terms x WHERE x.terms = p_terms;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  WHILE v_day <= v_last AND v_next IS NULL LOOP
    IF cardinality(t.windows) = 0 THEN
      v_next := greatest(p_at, v_day::timestamp AT TIME ZONE vault.zone());
    END IF;
    FOREACH w IN ARRAY t.windows LOOP
      IF vault.opens_on(w, v_day, vault.kind_of_day(v_day))
         AND p_at < (v_day + make_interval(mins => w.until_minute)) AT TIME ZONE vault.zone() THEN
        v_from := greatest(p_at, (v_day + make_interval(mins => w.from_minute)) AT TIME ZONE vault.zone());
        v_next := least(v_next, v_from);
      END IF;
    END LOOP;
    v_day := v_day + 1;
  END LOOP;
  RETURN v_next;
END $$;

-- A year's arrangement of working days as it was published: what stood for the year before is replaced. Returns whether that
-- changed anything. Days of other years, holidays at weekends and working days on weekdays say nothing and are left out.
CREATE FUNCTION vault.put_calendar_year(p_year integer, p_holidays date[], p_workdays date[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  v_new date[];
  v_old date[];
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('vault.calendar_day'));
  SELECT coalesce(array_agg(DISTINCT d ORDER BY d), '{}') INTO v_new
  FROM (SELECT unnest(p_holidays) AS d, false AS works UNION ALL SELECT unnest(p_workdays), true) x
  WHERE extract(year FROM d) = p_year AND (extract(isodow FROM d) >= 6) = works;
  SELECT coalesce(array_agg(c.day ORDER BY c.day), '{}') INTO v_old FROM vault.calendar_day c WHERE extract(year FROM c.day) = p_year;
  IF v_new = v_old THEN
    RETURN false;
  END IF;
  DELETE FROM vault.calendar_day c WHERE c.day = ANY (v_old) AND c.day <> ALL (v_new);
  INSERT INTO vault.calendar_day SELECT d, CASE WHEN extract(isodow FROM d) >= 6 THEN 'workday' ELSE 'holiday' END FROM unnest(v_new) d
  ON CONFLICT DO NOTHING;
  RETURN true;
END $$;
