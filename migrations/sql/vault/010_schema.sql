-- The vault: schema, the only clocks in SQL (D11), and small pure helpers. Functions run as their owner with a fixed
-- search_path (D3); nothing is executable by PUBLIC.

ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

CREATE SCHEMA vault;

-- The only clock. A sandbox's owner may replace it by now + offset; a production start refuses any other body (by prosrc).
CREATE FUNCTION vault.now() RETURNS timestamptz LANGUAGE sql VOLATILE
AS $$SELECT clock_timestamp()$$;

-- The city's time zone; `chengxin migrate` replaces it from the setting.
CREATE FUNCTION vault.zone() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT 'Asia/Shanghai'::text$$;

CREATE FUNCTION vault.today() RETURNS date LANGUAGE sql VOLATILE
AS $$SELECT (vault.now() AT TIME ZONE vault.zone())::date$$;

-- The cell of a bucket: the smallest bucket of its node, beside which the node's budget slots lie. One node: always 0 (D4).
CREATE FUNCTION vault.cell(b smallint) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT 0::smallint$$;

-- Every call that is about one resident says the bucket in which the resident lies, so that the call can be sent to its node. The
-- bucket is never computed here: a caller that is wrong about it is told so.
CREATE FUNCTION vault.check_bucket(p_b smallint, p_owner bigint) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF (p_b = (p_owner & 1023)) IS NOT TRUE THEN
    RAISE EXCEPTION 'bucket % is not the bucket of this resident', p_b USING ERRCODE = 'invalid_parameter_value';
  END IF;
END $$;

CREATE FUNCTION vault.id_version(id uuid) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT get_byte(uuid_send(id), 6) >> 4$$;

-- The instant a UUIDv7 or UUIDv8 of ours was stamped with.
CREATE FUNCTION vault.id_time(id uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT to_timestamp((('x' || left(encode(uuid_send(id), 'hex'), 12))::bit(48)::bigint)::double precision / 1000)$$;

-- The smallest UUID stamped with this instant: the bound of a partition.
CREATE FUNCTION vault.id_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT rpad(lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0'), 32, '0')::uuid$$;

-- The id of a posting that another posting causes (version 8, the same time prefix), so that a rerun names the same row.
CREATE FUNCTION vault.derived_id(source uuid, purpose text) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT (left(h, 12) || '8' || substr(d, 1, 3) || 'a' || substr(d, 4, 15))::uuid
  FROM (SELECT encode(uuid_send(source), 'hex') AS h,
               encode(sha256(uuid_send(source) || convert_to(purpose, 'UTF8')), 'hex') AS d) x
$$;

-- Lots: one bucket per expiry date, soonest first, all positive, together exactly the balance. NULL is never right.
CREATE FUNCTION vault.lots_ok(expiry date[], points bigint[], balance bigint) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  total bigint := 0;
  n integer := cardinality(expiry);
BEGIN
  IF n IS NULL OR cardinality(points) IS DISTINCT FROM n OR n > 26 THEN
    RETURN false;
  END IF;
  FOR i IN 1..n LOOP
    IF (points[i] > 0) IS NOT TRUE OR expiry[i] IS NULL OR (i > 1 AND expiry[i] <= expiry[i - 1]) THEN
      RETURN false;
    END IF;
    total := total + points[i];
  END LOOP;
  RETURN coalesce(total = balance, false);
END $$;

-- Round half up to a whole unit: amount * share_bp / 10000. Never a float near value.
CREATE FUNCTION vault.share_of(amount bigint, share_bp integer) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT (amount * share_bp + 5000) / 10000$$;

-- The first day of the period that a day lies in; weeks begin on Monday. 'total' is one period for ever.
CREATE FUNCTION vault.period_start(period text, day date) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT CASE period WHEN 'total' THEN date 'epoch' WHEN 'day' THEN day ELSE date_trunc(period, day::timestamp)::date END$$;

-- How much one person may have: `cap` of `measure` in each `period`, counted under `limit_id`, which belongs to the campaign or
-- template and not to one version of its terms (D17). It ends with measure and period: what a version counts in another way, it
-- counts anew.
CREATE TYPE vault.person_limit AS (
  limit_id text,
  action   text,
  measure  text,
  period   text,
  cap      bigint
);

CREATE FUNCTION vault.limits_ok(limits vault.person_limit[]) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT cardinality(limits) <= 8
     AND count(DISTINCT l.limit_id) = cardinality(limits)
     AND coalesce(bool_and(coalesce(length(l.limit_id) BETWEEN 1 AND 120 AND l.limit_id LIKE '%/' || l.measure || '/' || l.period AND l.action IN ('issue', 'redeem', 'earn')
       AND l.measure IN ('count', 'points', 'face_value_fen') AND l.period IN ('total', 'day', 'week', 'month') AND l.cap > 0, false)), true)
  FROM unnest(limits) l
$$;

CREATE FUNCTION vault.named_limits(limits vault.person_limit[]) RETURNS vault.person_limit[] LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(array_agg(ROW(l.limit_id || '/' || l.measure || '/' || l.period, l.action, l.measure, l.period, l.cap)::vault.person_limit
                            ORDER BY l.k), '{}')
  FROM unnest(limits) WITH ORDINALITY l (limit_id, action, measure, period, cap, k)
$$;

-- How much may happen at one place in one period, whoever does it (D17): `cap` of `measure`, counted under `limit_id`, which belongs
-- to the campaign or template. scope says what a place is: campaign (all of it is one), town, and for redemptions merchant and store.
-- fen: what it costs the budget; face_value_fen: what it is worth to the customer.
CREATE TYPE vault.scoped_limit AS (
  limit_id text,
  scope    text,
  action   text,
  measure  text,
  period   text,
  cap      bigint
);

CREATE FUNCTION vault.scoped_limits_ok(limits vault.scoped_limit[], actions text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT cardinality(limits) <= 8
     AND count(DISTINCT l.limit_id) = cardinality(limits)
     AND coalesce(bool_and(coalesce(length(l.limit_id) BETWEEN 1 AND 160 AND l.limit_id LIKE '%/' || l.scope || '/' || l.measure || '/' || l.period
       AND l.action = ANY (actions) AND l.period IN ('total', 'day', 'week', 'month') AND l.cap BETWEEN 1 AND 1000000000000000
       AND (l.scope IN ('campaign', 'town') OR l.scope IN ('merchant', 'store') AND l.action = 'redeem')
       AND (l.measure = 'count' OR l.measure = 'points' AND l.action <> 'redeem' OR l.measure IN ('face_value_fen', 'fen') AND l.action <> 'earn'),
       false)), true)
  FROM unnest(limits) l
$$;

CREATE FUNCTION vault.named_limits(limits vault.scoped_limit[]) RETURNS vault.scoped_limit[] LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(array_agg(ROW(l.limit_id || '/' || l.scope || '/' || l.measure || '/' || l.period, l.scope, l.action, l.measure, l.period,
                                l.cap)::vault.scoped_limit ORDER BY l.k), '{}')
  FROM unnest(limits) WITH ORDINALITY l (limit_id, scope, action, measure, period, cap, k)
$$;

-- When coupons can be used: on these weekdays (1 is Monday) and on days of this kind, from a minute of the city's day until before
-- another. workday: a day on which China works, the weekend days that make up for a holiday included; holiday: any other day.
CREATE TYPE vault.usable_window AS (
  weekdays     smallint[],
  day          text,
  from_minute  smallint,
  until_minute smallint
);

CREATE FUNCTION vault.windows_ok(windows vault.usable_window[]) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT cardinality(windows) <= 16
     AND coalesce(bool_and(coalesce(cardinality(w.weekdays) BETWEEN 1 AND 7 AND w.weekdays <@ '{1,2,3,4,5,6,7}'
       AND w.day IN ('any', 'workday', 'holiday') AND w.from_minute >= 0 AND w.from_minute < w.until_minute AND w.until_minute <= 1440, false)), true)
  FROM unnest(windows) w
$$;

-- Whoever changes what is append-only is told so.
CREATE FUNCTION vault.append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'vault.% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
