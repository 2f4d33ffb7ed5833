-- What a posting asks for, and what an operation decides about it.

-- What a caller asks for. Slots are never named by a caller: `post` chooses them from the lane (D4).
CREATE TYPE vault.item AS (
  n                 integer,
  op                smallint,
  b                 smallint,
  owner             bigint,
  id                uuid,
  hash              bytea,
  terms             bigint,
  earned_on         date,
  coupon            uuid,
  credential        uuid,
  redemption        uuid,
  void              uuid,
  merchant          bigint,
  store             bigint,
  terminal          bigint,
  staff             bigint,
  own_resident      bigint,
  order_amount_fen  bigint,
  ticket_expires_at timestamptz,
  handle            bigint,
  code_ok           boolean,
  reason            text,
  slot_a            smallint,
  slot_b            smallint,
  takes             jsonb
);

-- What an operation decided: legs per unit, what it took, and the wallet's lots afterwards (NULL: unchanged).
CREATE TYPE vault.movement AS (
  st         smallint,
  d_avail    bigint,
  d_peer     bigint,
  c_stock    bigint,
  c_out      bigint,
  c_used     bigint,
  c_gone     bigint,
  f_budget   bigint,
  f_reserved bigint,
  f_payable  bigint,
  peer       bigint,
  terms      bigint,
  ref        uuid,
  takes      jsonb,
  lots       jsonb,
  detail     jsonb,
  lot_expiry date[],
  lot_points bigint[],
  expired        bigint,
  expired_lots   jsonb,
  redemption     vault.redemption
);

CREATE FUNCTION vault.refusal(p_status integer) RETURNS vault.movement LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  m vault.movement;
BEGIN
  m.st := p_status;
  RETURN m;
END $$;
