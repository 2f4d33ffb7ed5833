-- Points in lots by expiry date, soonest first: pure functions on a wallet's two arrays.

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
