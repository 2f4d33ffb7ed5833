-- What the vault holds. Every table on the value path is led by b = resident & 1023 (the distribution column of a larger
-- city); budgets and slots are led by their cell. Balances are never indexed, so that their updates stay HOT.

-- A resident's points: the balance, its lots by expiry date, and the dense sequence of the resident's journal rows.
CREATE TABLE vault.wallet (
  b            smallint    NOT NULL,
  owner        bigint      NOT NULL,
  points_avail bigint      NOT NULL DEFAULT 0,
  points_held  bigint      NOT NULL DEFAULT 0,
  seq          bigint      NOT NULL DEFAULT 0,
  lot_expiry   date[]      NOT NULL DEFAULT '{}',
  lot_points   bigint[]    NOT NULL DEFAULT '{}',
  epoch        integer     NOT NULL DEFAULT 0,
  status       text        NOT NULL DEFAULT 'open' CONSTRAINT wallet_status CHECK (status IN ('open', 'debit_frozen', 'frozen')),
  frozen_until timestamptz CONSTRAINT wallet_frozen_until CHECK (status <> 'open' OR frozen_until IS NULL),
  opened_at    timestamptz NOT NULL DEFAULT vault.now(),
  PRIMARY KEY (b, owner),
  CONSTRAINT wallet_b CHECK (b = (owner & 1023)),
  CONSTRAINT wallet_not_negative CHECK (points_avail >= 0 AND points_held >= 0),
  CONSTRAINT wallet_lots CHECK (vault.lots_ok(lot_expiry, lot_points, points_avail))
) WITH (fillfactor = 60);

-- A budget in one unit, or with a number below zero what is left of a counter; what its slots do not hold lies in the reserve. gathered: all of it is in slots 0. cells: how many cells
-- it was last laid out for.
CREATE TABLE vault.budget (
  budget   bigint   PRIMARY KEY,
  unit     text     NOT NULL CONSTRAINT budget_unit CHECK (unit IN ('points', 'coupons', 'fen') OR unit = 'count' AND budget < 0),
  slots    smallint NOT NULL CONSTRAINT budget_slots CHECK (slots BETWEEN 1 AND 1024),
  gathered boolean  NOT NULL DEFAULT false,
  cells    smallint NOT NULL DEFAULT 1 CONSTRAINT budget_cells CHECK (cells BETWEEN 1 AND 1024),
  reserve  bigint   NOT NULL DEFAULT 0 CONSTRAINT budget_reserve CHECK (reserve >= 0)
) WITH (fillfactor = 60);

CREATE TABLE vault.slot (
  pb     smallint NOT NULL,
  budget bigint   NOT NULL REFERENCES vault.budget,
  slot   smallint NOT NULL,
  avail  bigint   NOT NULL DEFAULT 0,
  open   boolean  NOT NULL DEFAULT false,
  PRIMARY KEY (pb, budget, slot),
  CONSTRAINT slot_not_negative CHECK (avail >= 0)
) WITH (fillfactor = 40);

-- The only way a budget's total changes (D5). Two different people, a document number. cap: what terms allow a counter, as two people
-- approved the terms that the document names.
CREATE TABLE vault.budget_entry (
  budget   bigint      NOT NULL REFERENCES vault.budget,
  id       uuid        NOT NULL,
  kind     text        NOT NULL CONSTRAINT budget_entry_kind CHECK (kind IN ('topup', 'cut') AND budget > 0 OR kind = 'cap' AND budget < 0),
  amount   bigint      NOT NULL CONSTRAINT budget_entry_amount CHECK (amount > 0 OR amount < 0 AND kind = 'cap'),
  actor    bigint,
  approver bigint,
  document text        NOT NULL CONSTRAINT budget_entry_document CHECK (length(document) BETWEEN 1 AND 100),
  at       timestamptz NOT NULL DEFAULT vault.now(),
  PRIMARY KEY (budget, id),
  CONSTRAINT budget_entry_two_people CHECK (CASE kind WHEN 'cap' THEN num_nulls(actor, approver) = 2 ELSE coalesce(actor <> approver, false) END)
);

-- What limits allow at one place in one period: the caps of the terms that were put last, as a limit belongs to its campaign or
-- template and not to one version of its terms.
CREATE TABLE vault.limit_cap (
  limit_id text   PRIMARY KEY,
  scope    text   NOT NULL,
  measure  text   NOT NULL,
  period   text   NOT NULL,
  cap      bigint NOT NULL CONSTRAINT limit_cap_positive CHECK (cap > 0)
);

-- A limit at one place in one period: a budget with slots, opened when the first posting meets it. cap = what is left + all takes.
CREATE TABLE vault.counter (
  limit_id     text   NOT NULL REFERENCES vault.limit_cap,
  place        text   NOT NULL CONSTRAINT counter_place CHECK (length(place) <= 80),
  period_start date   NOT NULL,
  budget       bigint NOT NULL UNIQUE REFERENCES vault.budget CONSTRAINT counter_budget CHECK (budget < 0),
  cap          bigint NOT NULL CONSTRAINT counter_cap CHECK (cap >= 0),
  PRIMARY KEY (limit_id, place, period_start)
);

-- Approved terms are written once and never changed (D16). What they limit, per person and per place, are lists of limits (D17).
CREATE TABLE vault.earn_terms (
  terms           bigint   PRIMARY KEY,
  points_budget   bigint   NOT NULL REFERENCES vault.budget,
  points          bigint   NOT NULL CONSTRAINT earn_terms_points CHECK (points BETWEEN 1 AND 1000000000000),
  validity_months smallint NOT NULL CONSTRAINT earn_terms_validity CHECK (validity_months BETWEEN 1 AND 24),
  person_limits   vault.person_limit[] NOT NULL CONSTRAINT earn_terms_limits CHECK (vault.limits_ok(person_limits)),
  scoped_limits   vault.scoped_limit[] NOT NULL CONSTRAINT earn_terms_scoped CHECK (vault.scoped_limits_ok(scoped_limits, '{earn}'))
);

CREATE TABLE vault.coupon_terms (
  terms          bigint   PRIMARY KEY,
  template       bigint   NOT NULL,
  version        integer  NOT NULL,
  kind           text     NOT NULL CONSTRAINT coupon_terms_kind CHECK (kind IN ('amount_off', 'discount', 'exchange')),
  stock_budget   bigint   NOT NULL REFERENCES vault.budget,
  fen_budget     bigint   REFERENCES vault.budget,
  price_points   bigint   NOT NULL CONSTRAINT coupon_terms_price CHECK (price_points BETWEEN 0 AND 1000000000000),
  face_value_fen bigint   NOT NULL CONSTRAINT coupon_terms_face CHECK (face_value_fen BETWEEN 0 AND 100000000000),
  pay_bp         integer  NOT NULL CONSTRAINT coupon_terms_pay CHECK (pay_bp BETWEEN 0 AND 10000),
  cap_fen        bigint   NOT NULL CONSTRAINT coupon_terms_cap_fen CHECK (cap_fen BETWEEN 0 AND 100000000000),
  threshold_fen  bigint   NOT NULL CONSTRAINT coupon_terms_threshold CHECK (threshold_fen BETWEEN 0 AND 100000000000),
  platform_bp    integer  NOT NULL,
  sponsor_bp     integer  NOT NULL,
  merchant_bp    integer  NOT NULL,
  person_limits  vault.person_limit[] NOT NULL CONSTRAINT coupon_terms_limits CHECK (vault.limits_ok(person_limits)),
  scoped_limits  vault.scoped_limit[] NOT NULL CONSTRAINT coupon_terms_scoped CHECK (vault.scoped_limits_ok(scoped_limits, '{issue,redeem}')),
  starts_after_days integer NOT NULL CONSTRAINT coupon_terms_starts CHECK (starts_after_days BETWEEN 0 AND 3660),
  valid_days     integer  NOT NULL CONSTRAINT coupon_terms_days CHECK (valid_days BETWEEN 0 AND 3660),
  valid_from     date,
  valid_until    date,
  windows        vault.usable_window[] NOT NULL CONSTRAINT coupon_terms_windows CHECK (vault.windows_ok(windows)),
  merchants      bigint[] NOT NULL,
  stores         bigint[] NOT NULL,
  stacking_group text     CONSTRAINT coupon_terms_group CHECK (length(stacking_group) BETWEEN 1 AND 40),
  most_per_order smallint NOT NULL CONSTRAINT coupon_terms_most_per_order CHECK (most_per_order BETWEEN 1 AND 100),
  void_window_s  integer  NOT NULL CONSTRAINT coupon_terms_void CHECK (void_window_s BETWEEN 0 AND 31536000),
  grace_days     integer  NOT NULL CONSTRAINT coupon_terms_grace CHECK (grace_days BETWEEN 0 AND 3660),
  return_stock   boolean  NOT NULL,
  claim_from     timestamptz,
  claim_until    timestamptz,
  UNIQUE (template, version),
  -- Who bears what a customer saves, together all of it. What the merchant does not bear is paid to him out of the budget.
  CONSTRAINT coupon_terms_shares CHECK (least(platform_bp, sponsor_bp, merchant_bp) >= 0 AND platform_bp + sponsor_bp + merchant_bp = 10000),
  CONSTRAINT coupon_terms_funded CHECK (merchant_bp = 10000 OR fen_budget IS NOT NULL),
  -- The most a redemption can cost is known at the claim: a percentage always has a cap.
  CONSTRAINT coupon_terms_bounded CHECK (kind <> 'discount' OR (cap_fen > 0 AND pay_bp < 10000))
);

-- Where China's working days differ from other weeks': a weekend day on which one works, or a weekday that is a holiday. A day that
-- is not here is judged by its weekday.
CREATE TABLE vault.calendar_day (
  day  date PRIMARY KEY,
  kind text NOT NULL,
  CONSTRAINT calendar_day_kind CHECK (kind = CASE WHEN extract(isodow FROM day) >= 6 THEN 'workday' ELSE 'holiday' END)
);

-- One row per resident operation: the posting, the idempotency record, the statement line and the event (D1).
-- A unit that is not touched has NULL legs; a refusal that must stay a refusal has no legs at all.
CREATE TABLE vault.journal (
  b            smallint    NOT NULL,
  owner        bigint      NOT NULL,
  id           uuid        NOT NULL,
  seq          bigint      NOT NULL,
  op           smallint    NOT NULL,
  st           smallint    NOT NULL,
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
  avail_after  bigint      NOT NULL,
  held_after   bigint      NOT NULL,
  terms        bigint,
  ref          uuid,
  takes        jsonb,
  lots         jsonb,
  detail       jsonb,
  hash         bytea       NOT NULL,
  at           timestamptz NOT NULL,
  txid         bigint      NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
  CONSTRAINT journal_b CHECK (b = (owner & 1023)),
  CONSTRAINT journal_points CHECK (num_nulls(d_avail, d_held, d_peer) IN (0, 3)
                                   AND coalesce(d_avail + d_held + d_peer = 0, true)),
  CONSTRAINT journal_coupons CHECK (num_nulls(c_stock, c_out, c_used, c_gone) IN (0, 4)
                                    AND coalesce(c_stock + c_out + c_used + c_gone = 0, true)),
  CONSTRAINT journal_fen CHECK (num_nulls(f_budget, f_reserved, f_payable) IN (0, 3)
                                AND coalesce(f_budget + f_reserved + f_payable = 0, true)),
  CONSTRAINT journal_refusal_moves_nothing CHECK (st = 0 OR num_nonnulls(
    d_avail, d_held, d_peer, c_stock, c_out, c_used, c_gone, f_budget, f_reserved, f_payable) = 0)
) PARTITION BY RANGE (id);
CREATE INDEX journal_statement ON vault.journal (b, owner, seq DESC);
-- Of two indexes that seem to cost the same the planner takes the one that was made last. That must be this one: by the other, the
-- look-up of one id would read all of a resident's rows of the month.
ALTER TABLE vault.journal ADD PRIMARY KEY (b, owner, id);

-- One coupon per claim: its id is the claim's id. reserved_fen is what the sponsor's budget still holds for it. A locked coupon is
-- kept for one partner's order until locked_until and counts as issued afterwards, whether or not a job has booked that.
CREATE TABLE vault.coupon (
  b             smallint    NOT NULL,
  owner         bigint      NOT NULL,
  id            uuid        NOT NULL,
  terms         bigint      NOT NULL,
  state         text        NOT NULL CONSTRAINT coupon_state CHECK (state IN ('issued', 'locked', 'redeemed', 'expired', 'voided')),
  expires_on    date        NOT NULL,
  reserved_fen  bigint      NOT NULL CONSTRAINT coupon_reserved CHECK (reserved_fen >= 0),
  redemption_id uuid,
  lock_id       uuid,
  locked_until  timestamptz,
  issued_at     timestamptz NOT NULL,
  PRIMARY KEY (b, owner, id),
  CONSTRAINT coupon_b CHECK (b = (owner & 1023)),
  CONSTRAINT coupon_locked CHECK (num_nulls(lock_id, locked_until) = CASE WHEN state = 'locked' THEN 0 ELSE 2 END),
  CONSTRAINT coupon_redeemed CHECK ((state = 'redeemed') = (redemption_id IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX coupon_terms_id ON vault.coupon (terms);
-- Summaries of pages: the expiry job finds its days, and updates of other columns stay HOT.
CREATE INDEX coupon_expiry ON vault.coupon USING brin (expires_on) WITH (pages_per_range = 32);

-- Open holds only: points set aside for a payee, out of which lots, and until when they can be captured.
CREATE TABLE vault.hold (
  b      smallint    NOT NULL,
  owner  bigint      NOT NULL,
  id     uuid        NOT NULL,
  points bigint      NOT NULL CONSTRAINT hold_points CHECK (points > 0),
  lots   jsonb       NOT NULL,
  payee  bigint      NOT NULL,
  until  timestamptz NOT NULL,
  PRIMARY KEY (b, owner, id),
  CONSTRAINT hold_b CHECK (b = (owner & 1023))
) WITH (fillfactor = 70);
CREATE INDEX hold_until ON vault.hold (until);

-- How much of a spend or capture was given back so far, and the day that points of expired lots were renewed to, once (D9).
CREATE TABLE vault.refunded (
  b             smallint NOT NULL,
  owner         bigint   NOT NULL,
  ref           uuid     NOT NULL,
  done          bigint   NOT NULL,
  cap           bigint   NOT NULL,
  renewed_until date,
  PRIMARY KEY (b, owner, ref),
  CONSTRAINT refunded_b CHECK (b = (owner & 1023)),
  CONSTRAINT refunded_cap CHECK (done BETWEEN 0 AND cap)
) WITH (fillfactor = 70);

-- How much a resident used of a limit in a period (D17); the cap comes from the terms.
CREATE TABLE vault.allowance (
  b            smallint NOT NULL,
  owner        bigint   NOT NULL,
  limit_id     text     NOT NULL,
  period_start date     NOT NULL,
  used         bigint   NOT NULL CONSTRAINT allowance_used CHECK (used >= 0),
  PRIMARY KEY (b, owner, limit_id, period_start),
  CONSTRAINT allowance_b CHECK (b = (owner & 1023))
) WITH (fillfactor = 70);

-- Who may accept coupons now: one row per merchant, store, terminal and staff member. Checked in the same call as the value. town: a
-- store's, for limits by town.
CREATE TABLE vault.acceptor (
  kind        text   NOT NULL CONSTRAINT acceptor_kind CHECK (kind IN ('merchant', 'store', 'terminal', 'staff')),
  id          bigint NOT NULL,
  merchant_id bigint NOT NULL,
  store_id    bigint,
  open        boolean NOT NULL,
  town        text    CONSTRAINT acceptor_town CHECK (length(town) <= 80),
  PRIMARY KEY (kind, id)
);

-- A showing of a coupon: open until it is claimed by one terminal, spent by its redemption, or burnt.
CREATE TABLE vault.credential (
  b             smallint    NOT NULL,
  id            uuid        NOT NULL,
  owner         bigint      NOT NULL,
  epoch         integer     NOT NULL,
  coupon_id     uuid        NOT NULL,
  handle        bigint      NOT NULL,
  state         text        NOT NULL DEFAULT 'open' CONSTRAINT credential_state CHECK (state IN ('open', 'claimed', 'redeemed', 'burnt')),
  wrong_codes   smallint    NOT NULL DEFAULT 0 CONSTRAINT credential_wrong CHECK (wrong_codes BETWEEN 0 AND 5),
  issued_at     timestamptz NOT NULL,
  expires_at    timestamptz NOT NULL,
  merchant_id   bigint,
  store_id      bigint,
  terminal_id   bigint,
  staff_id      bigint,
  claimed_at    timestamptz,
  redemption_id uuid,
  void_id       uuid,
  PRIMARY KEY (b, id),
  CONSTRAINT credential_b CHECK (b = (owner & 1023)),
  CONSTRAINT credential_claimed CHECK (state NOT IN ('claimed', 'redeemed') OR num_nulls(
    merchant_id, store_id, terminal_id, claimed_at, redemption_id, void_id) = 0)
) WITH (fillfactor = 60);

-- Directories (D28): keyed by themselves, written before the value row, deciding nothing.
CREATE TABLE vault.credential_handle (
  handle        bigint      PRIMARY KEY,
  b             smallint    NOT NULL,
  owner         bigint      NOT NULL,
  credential_id uuid        NOT NULL,
  expires_at    timestamptz NOT NULL
);
CREATE INDEX credential_handle_expiry ON vault.credential_handle (expires_at);
CREATE TABLE vault.redemption_ref (
  redemption_id uuid     PRIMARY KEY,
  b             smallint NOT NULL,
  owner         bigint   NOT NULL
);

-- counted: what it took from which counters, [[budget, amount], …]. credential_id is what was spent: the showing of the coupon, or the lock of a partner's order. order_no is the shop's own. What the
-- customer saved was borne by the three together.
CREATE TABLE vault.redemption (
  b                smallint    NOT NULL,
  id               uuid        NOT NULL,
  owner            bigint      NOT NULL,
  credential_id    uuid        NOT NULL,
  void_id          uuid        NOT NULL,
  coupon_id        uuid        NOT NULL,
  terms            bigint      NOT NULL,
  merchant_id      bigint      NOT NULL,
  store_id         bigint      NOT NULL,
  terminal_id      bigint      NOT NULL,
  staff_id         bigint,
  order_no         text        CONSTRAINT redemption_order_no CHECK (length(order_no) BETWEEN 1 AND 64),
  order_amount_fen bigint,
  discount_fen     bigint      NOT NULL CONSTRAINT redemption_discount CHECK (discount_fen >= 0 AND (discount_fen <= order_amount_fen) IS NOT FALSE),
  platform_fen     bigint      NOT NULL,
  sponsor_fen      bigint      NOT NULL,
  merchant_fen     bigint      NOT NULL,
  business_date    date        NOT NULL,
  at               timestamptz NOT NULL,
  void_until       timestamptz NOT NULL,
  counted          jsonb,
  PRIMARY KEY (b, id),
  CONSTRAINT redemption_b CHECK (b = (owner & 1023)),
  CONSTRAINT redemption_shares CHECK (least(platform_fen, sponsor_fen, merchant_fen) >= 0 AND platform_fen + sponsor_fen + merchant_fen = discount_fen),
  CONSTRAINT redemption_once UNIQUE (b, owner, credential_id)
);
CREATE INDEX redemption_order ON vault.redemption (b, owner, merchant_id, order_no) WHERE order_no IS NOT NULL;
CREATE INDEX redemption_shift ON vault.redemption (merchant_id, id DESC);
CREATE INDEX redemption_void_until ON vault.redemption USING brin (void_until) WITH (pages_per_range = 32);

CREATE TABLE vault.redemption_void (
  b             smallint    NOT NULL,
  id            uuid        NOT NULL,
  redemption_id uuid        NOT NULL,
  reason        text        NOT NULL CONSTRAINT redemption_void_reason CHECK (length(reason) BETWEEN 1 AND 200),
  terminal_id   bigint      NOT NULL,
  staff_id      bigint,
  at            timestamptz NOT NULL,
  PRIMARY KEY (b, redemption_id, id),
  CONSTRAINT redemption_void_once UNIQUE (b, redemption_id)
);

-- Every look at an existing code, kept 90 days (D38): who scanned, where, and the answer. Not a query of a person.
CREATE TABLE vault.scan_log (
  b             smallint    NOT NULL,
  id            bigint      GENERATED ALWAYS AS IDENTITY,
  owner         bigint      NOT NULL,
  credential_id uuid        NOT NULL,
  merchant_id   bigint      NOT NULL,
  store_id      bigint      NOT NULL,
  terminal_id   bigint      NOT NULL,
  result        text        NOT NULL,
  at            timestamptz NOT NULL,
  PRIMARY KEY (b, id)
);

-- What is append-only says so itself, whoever asks.
CREATE TRIGGER journal_append_only BEFORE UPDATE OR DELETE ON vault.journal FOR EACH ROW EXECUTE FUNCTION vault.append_only();
DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['budget_entry', 'earn_terms', 'coupon_terms', 'redemption', 'redemption_void'] LOOP
    EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON vault.%I FOR EACH ROW EXECUTE FUNCTION vault.append_only()', t || '_append_only', t);
    EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON vault.%I FOR EACH STATEMENT EXECUTE FUNCTION vault.append_only()', t || '_no_truncate', t);
  END LOOP;
END $$;
CREATE TRIGGER journal_no_truncate BEFORE TRUNCATE ON vault.journal FOR EACH STATEMENT EXECUTE FUNCTION vault.append_only();
