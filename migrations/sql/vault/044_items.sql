-- What a posting asks for, what is known about it, and what an operation decides.

-- One request. town is the resident's, for limits by town; counted: that its terms limit what happens at places, so that the counters
-- are looked for before the locks. The fields from round on are never a caller's: the round in which the item is decided (a second item of one resident must
-- find what the first one did), the slots it may take from or give back to (D4), and the counters of its terms, in their order, with the
-- day they are for, their places and their slots; a counter that is not open yet is NULL.
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
  points            bigint,
  payee             bigint,
  posting           uuid,
  lock              uuid,
  life_s            integer,
  validity_months   smallint,
  freeze_kind       text,
  until             timestamptz,
  authority         text,
  actor             bigint,
  approver          bigint,
  reason            text,
  document          text,
  request_no        text,
  memo              text,
  order_no          text,
  town              text,
  counted           boolean,
  round             integer,
  budget_a          bigint,
  slot_a            smallint,
  budget_b          bigint,
  slot_b            smallint,
  counted_on        date,
  places            text[],
  counters          bigint[],
  counter_slots     smallint[]
);

-- What a resident's coupons already did on one order of a shop: how many of the same stacking group, the fewest that one of them
-- allows, what they saved together, and the order's amount as far as it is known.
CREATE TYPE vault.order_so_far AS (
  stacked          bigint,
  most_per_order   smallint,
  discount_fen     bigint,
  order_amount_fen bigint
);

-- An item and every row its decision may depend on, read in one statement after the locks. A row that is not there is NULL.
CREATE TYPE vault.facts AS (
  i          vault.item,
  w          vault.wallet,
  j          vault.journal,
  s          vault.journal,
  h          vault.hold,
  g          vault.refunded,
  cr         vault.credential,
  c          vault.coupon,
  t          vault.coupon_terms,
  e          vault.earn_terms,
  r          vault.redemption,
  o          vault.order_so_far,
  day_kind   text,
  used       bigint[],
  accepting  boolean,
  month_open boolean,
  a_at       integer,
  b_at       integer,
  a          vault.slot,
  bb         vault.slot,
  cs         vault.slot[]
);

-- What an operation decided: legs per unit, what it takes from (or, negative, gives back to) its two slots and its counters, and the
-- rows as they shall be afterwards. NULL: untouched.
CREATE TYPE vault.movement AS (
  st           smallint,
  d_avail      bigint,
  d_held       bigint,
  d_peer       bigint,
  c_stock      bigint,
  c_out        bigint,
  c_used       bigint,
  c_gone       bigint,
  f_budget     bigint,
  f_reserved   bigint,
  f_payable    bigint,
  peer         bigint,
  terms        bigint,
  ref          uuid,
  take_a       bigint,
  take_b       bigint,
  counted      bigint[],
  lots         jsonb,
  detail       jsonb,
  lot_expiry   date[],
  lot_points   bigint[],
  freeze_kind  text,
  frozen_until timestamptz,
  coupon       vault.coupon,
  redemption   vault.redemption,
  voided       vault.redemption_void,
  hold         vault.hold,
  closed_hold  uuid,
  refunded     vault.refunded,
  allowances   vault.allowance[]
);

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
  void_id       uuid,
  miss          boolean
);

-- What one item did: its answer, and the rows that are still to be written for it. `follow` is a second journal row that the first
-- one caused: points past their day, or a coupon that came back too late.
CREATE TYPE vault.outcome AS (
  status   smallint,
  replayed boolean,
  answer   jsonb,
  wallet   vault.wallet,
  entry    vault.journal,
  follow   vault.journal,
  m        vault.movement,
  scan     vault.scan
);

-- What a caller gets for one item.
CREATE TYPE vault.reply AS (
  n        integer,
  status   smallint,
  replayed boolean,
  answer   jsonb
);

CREATE FUNCTION vault.refusal(p_status integer) RETURNS vault.movement LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  m vault.movement;
BEGIN
  m.st := p_status;
  RETURN m;
END $$;

CREATE FUNCTION vault.city_day(at timestamptz) RETURNS date LANGUAGE sql STABLE AS $$SELECT (at AT TIME ZONE vault.zone())::date$$;

-- The last day of a lot that begins on this day (D10): lots end with a month.
CREATE FUNCTION vault.lot_day(begins date, months integer) RETURNS date LANGUAGE sql IMMUTABLE AS $$
  SELECT (date_trunc('month', begins + make_interval(months => months)) + interval '1 month - 1 day')::date
$$;

CREATE FUNCTION vault.short_text(p_text text, p_most integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(length(p_text) BETWEEN 1 AND p_most, false)
$$;
