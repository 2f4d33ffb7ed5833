-- Points in lots by expiry date, soonest first: pure functions on a wallet's two arrays, and on lists of [day, points].

-- Splits off the lots that are past their day. Points are spendable through their expiry date, city time (D10).
CREATE FUNCTION vault.drop_expired(expiry date[], points bigint[], today date,
  OUT kept_expiry date[], OUT kept_points bigint[], OUT expired bigint, OUT expired_lots jsonb)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  n integer := 0;
BEGIN
  expired := 0;
  expired_lots := '[]';
  WHILE n < cardinality(expiry) AND expiry[n + 1] < today LOOP
    n := n + 1;
    expired := expired + points[n];
    expired_lots := expired_lots || jsonb_build_array(jsonb_build_array(expiry[n], points[n]));
  END LOOP;
  kept_expiry := expiry[n + 1:];
  kept_points := points[n + 1:];
END $$;

-- Takes points from the soonest-expiring lots that are not past their day. `missing` > 0: there are not enough.
CREATE FUNCTION vault.take_lots(expiry date[], points bigint[], amount bigint, today date,
  OUT left_expiry date[], OUT left_points bigint[], OUT taken jsonb, OUT missing bigint)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  part bigint;
BEGIN
  left_expiry := '{}';
  left_points := '{}';
  taken := '[]';
  missing := amount;
  FOR i IN 1..cardinality(expiry) LOOP
    part := CASE WHEN expiry[i] < today THEN 0 ELSE least(points[i], missing) END;
    IF part > 0 THEN
      taken := taken || jsonb_build_array(jsonb_build_array(expiry[i], part));
      missing := missing - part;
    END IF;
    IF points[i] > part THEN
      left_expiry := left_expiry || expiry[i];
      left_points := left_points || (points[i] - part);
    END IF;
  END LOOP;
END $$;

CREATE FUNCTION vault.add_lot(expiry date[], points bigint[], day date, amount bigint, OUT new_expiry date[], OUT new_points bigint[])
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  i integer := 1;
  n integer := cardinality(expiry);
BEGIN
  WHILE i <= n AND expiry[i] < day LOOP
    i := i + 1;
  END LOOP;
  new_expiry := expiry;
  new_points := points;
  IF i <= n AND expiry[i] = day THEN
    new_points[i] := points[i] + amount;
  ELSE
    new_expiry := expiry[1:i - 1] || day || expiry[i:n];
    new_points := points[1:i - 1] || amount || points[i:n];
  END IF;
END $$;

-- Puts every [day, points] of a list back into a wallet's lots.
CREATE FUNCTION vault.add_lots(expiry date[], points bigint[], lots jsonb, OUT new_expiry date[], OUT new_points bigint[])
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  v_lot jsonb;
BEGIN
  new_expiry := expiry;
  new_points := points;
  FOR v_lot IN SELECT l FROM jsonb_array_elements(lots) l LOOP
    SELECT x.new_expiry, x.new_points INTO new_expiry, new_points
    FROM vault.add_lot(new_expiry, new_points, (v_lot ->> 0)::date, (v_lot ->> 1)::bigint) x;
  END LOOP;
END $$;

-- Cuts a list of [day, points] after its first `amount` points.
CREATE FUNCTION vault.cut_lots(lots jsonb, amount bigint, OUT head jsonb, OUT tail jsonb) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  v_lot jsonb;
  v_left bigint := amount;
  part bigint;
BEGIN
  head := '[]';
  tail := '[]';
  FOR v_lot IN SELECT l FROM jsonb_array_elements(lots) l LOOP
    part := least(v_left, (v_lot ->> 1)::bigint);
    v_left := v_left - part;
    IF part > 0 THEN
      head := head || jsonb_build_array(jsonb_build_array(v_lot -> 0, part));
    END IF;
    IF (v_lot ->> 1)::bigint > part THEN
      tail := tail || jsonb_build_array(jsonb_build_array(v_lot -> 0, (v_lot ->> 1)::bigint - part));
    END IF;
  END LOOP;
END $$;

-- A list with every day before `today` replaced by `renewed`; equal days are merged. `renewed_points`: how many were.
CREATE FUNCTION vault.renew_lots(lots jsonb, today date, renewed date, OUT new_lots jsonb, OUT renewed_points bigint)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  v_lot jsonb;
  v_day date;
  v_expiry date[] := '{}';
  v_points bigint[] := '{}';
BEGIN
  new_lots := '[]';
  renewed_points := 0;
  FOR v_lot IN SELECT l FROM jsonb_array_elements(lots) l LOOP
    v_day := (v_lot ->> 0)::date;
    IF v_day < today THEN
      v_day := renewed;
      renewed_points := renewed_points + (v_lot ->> 1)::bigint;
    END IF;
    SELECT a.new_expiry, a.new_points INTO v_expiry, v_points FROM vault.add_lot(v_expiry, v_points, v_day, (v_lot ->> 1)::bigint) a;
  END LOOP;
  FOR k IN 1..cardinality(v_expiry) LOOP
    new_lots := new_lots || jsonb_build_array(jsonb_build_array(v_expiry[k], v_points[k]));
  END LOOP;
END $$;
