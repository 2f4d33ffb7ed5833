-- What a batch needs to know before it decides: its items, the slots of its lane, and the facts of each round.

-- Reads a batch. What a caller must not choose is left empty; a resident's items are numbered into rounds. An item of another cell
-- than the call's loses its bucket: it lies on another node, so it is found nowhere and refused as invalid.
CREATE FUNCTION vault.read_items(p_items jsonb, p_b smallint) RETURNS vault.item[] LANGUAGE plpgsql AS $$
DECLARE
  v_items vault.item[];
BEGIN
  SELECT array_agg(ROW(x.n, x.op, CASE WHEN vault.cell(x.b) = vault.cell(p_b) THEN x.b END, x.owner, x.id, x.hash, x.terms, x.earned_on,
      x.coupon, x.credential, x.redemption, x.void, x.merchant, x.store, x.terminal, x.staff, x.own_resident, x.order_amount_fen,
      x.ticket_expires_at, x.handle, x.code_ok, x.points, x.payee, x.posting, x.lock, x.life_s, x.validity_months, x.freeze_kind,
      x.until, x.authority, x.actor, x.approver, x.reason, x.document, x.request_no, x.memo, x.order_no, x.town,
      x.counted, CASE WHEN x.owner IS NULL THEN 1 ELSE x.nth END, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::vault.item ORDER BY x.n)
  INTO v_items
  FROM (SELECT i.*, row_number() OVER (PARTITION BY i.owner ORDER BY i.n) AS nth FROM jsonb_populate_recordset(NULL::vault.item, p_items) i) x;
  RETURN v_items;
END $$;

-- Fills in the counters of an item whose terms have limits at places: those that are open for its places and its day.
CREATE FUNCTION vault.resolve_counters(INOUT i vault.item, p_limits vault.scoped_limit[], p_lane smallint) LANGUAGE plpgsql AS $$
DECLARE
  v_action text := CASE i.op WHEN 1 THEN 'earn' WHEN 2 THEN 'issue' ELSE 'redeem' END;
  v_town text := i.town;
BEGIN
  i.counted_on := CASE i.op WHEN 1 THEN i.earned_on ELSE vault.today() END;
  IF i.op = 3 THEN
    SELECT x.town INTO v_town FROM vault.acceptor x WHERE x.kind = 'store' AND x.id = i.store;
  END IF;
  SELECT array_agg(l.place ORDER BY l.k), array_agg(g.budget ORDER BY l.k),
    array_agg(CASE WHEN g.gathered THEN 0 ELSE p_lane % g.slots END ORDER BY l.k)
  INTO i.places, i.counters, i.counter_slots
  FROM (SELECT x.*, coalesce(CASE x.scope WHEN 'merchant' THEN i.merchant::text WHEN 'store' THEN i.store::text WHEN 'town' THEN v_town END, '') AS place
        FROM unnest(p_limits) WITH ORDINALITY x (limit_id, scope, action, measure, period, cap, k) WHERE x.action = v_action) l
  LEFT JOIN vault.counter c ON c.limit_id = l.limit_id AND c.place = l.place AND c.period_start = vault.period_start(l.period, i.counted_on)
  LEFT JOIN vault.budget g ON g.budget = c.budget;
END $$;

-- Fills in the counters that a void gives back to: those of its redemption, of whatever day.
CREATE FUNCTION vault.resolve_returns(INOUT i vault.item, p_counted jsonb, p_lane smallint) LANGUAGE plpgsql AS $$
BEGIN
  SELECT array_agg(g.budget ORDER BY x.k), array_agg(CASE WHEN g.gathered THEN 0 ELSE p_lane % g.slots END ORDER BY x.k)
  INTO i.counters, i.counter_slots
  FROM jsonb_array_elements(p_counted) WITH ORDINALITY x (taken, k) JOIN vault.budget g ON g.budget = (x.taken ->> 0)::bigint;
END $$;

-- Fills in the slots of this lane (D4), and what a void takes from its redemption. All of it is read from what never changes, except
-- `gathered`: a debit that chose a slot just before it was gathered is asked to refill.
CREATE FUNCTION vault.resolve(INOUT p_items vault.item[], p_lane smallint) LANGUAGE plpgsql AS $$
DECLARE
  x record;
BEGIN
  FOR x IN
    SELECT i.ordinality AS at, i.op, r.void_id, r.coupon_id, r.counted, CASE i.op WHEN 1 THEN e.scoped_limits ELSE t.scoped_limits END AS limits,
      a.budget AS budget_a, CASE WHEN a.gathered THEN 0 ELSE p_lane % a.slots END AS slot_a,
      g.budget AS budget_b, CASE WHEN g.gathered THEN 0 ELSE p_lane % g.slots END AS slot_b
    FROM unnest(p_items) WITH ORDINALITY i
    LEFT JOIN vault.redemption r ON i.op = 4 AND r.b = i.b AND r.id = i.redemption AND r.owner = i.owner
    LEFT JOIN vault.credential cr ON i.op = 3 AND i.lock IS NULL AND cr.b = i.b AND cr.id = i.credential
    LEFT JOIN vault.coupon c ON i.op IN (3, 5, 6, 16) AND c.b = i.b AND c.owner = i.owner AND c.id = coalesce(cr.coupon_id, i.coupon)
    LEFT JOIN vault.coupon_terms t ON t.terms = CASE i.op WHEN 2 THEN i.terms WHEN 4 THEN r.terms ELSE c.terms END
    LEFT JOIN vault.earn_terms e ON i.op = 1 AND e.terms = i.terms
    LEFT JOIN vault.budget a ON a.budget = CASE i.op WHEN 1 THEN e.points_budget WHEN 3 THEN NULL ELSE t.stock_budget END
    LEFT JOIN vault.budget g ON i.op <> 3 AND g.budget = t.fen_budget
    WHERE i.op IN (1, 2, 4, 5, 6, 16) OR i.op = 3 AND i.counted
  LOOP
    p_items[x.at].budget_a := x.budget_a;
    p_items[x.at].slot_a := x.slot_a;
    p_items[x.at].budget_b := x.budget_b;
    p_items[x.at].slot_b := x.slot_b;
    IF x.op = 4 THEN
      p_items[x.at].id := x.void_id;
      p_items[x.at].coupon := x.coupon_id;
      IF x.counted IS NOT NULL THEN
        p_items[x.at] := vault.resolve_returns(p_items[x.at], x.counted, p_lane);
      END IF;
    ELSIF x.op IN (1, 2, 3) AND cardinality(x.limits) > 0 THEN
      p_items[x.at] := vault.resolve_counters(p_items[x.at], x.limits, p_lane);
    END IF;
  END LOOP;
END $$;

-- Everything the decisions of one round depend on, in one statement with one snapshot, taken after the locks. What only a few
-- operations need (hold, refund, the posting that is taken back) is read for them by `post_round`, which also puts in the slots.
-- `p_low` and `p_high` bound the ids of the batch, so that the months it does not reach are not even opened.
CREATE FUNCTION vault.read_facts(p_items vault.item[], p_round integer, p_day date, p_low uuid, p_high uuid)
RETURNS SETOF vault.facts LANGUAGE sql STABLE AS $$
  SELECT i, w, j, NULL::vault.journal, NULL::vault.hold, NULL::vault.refunded, cr, c, t, e, r, NULL::vault.order_so_far, NULL::text,
    CASE WHEN i.op IN (1, 2, 3) THEN (
      SELECT array_agg(coalesce(u.used, 0) ORDER BY l.k)
      FROM unnest(CASE i.op WHEN 1 THEN e.person_limits ELSE t.person_limits END) WITH ORDINALITY l (limit_id, action, measure, period, cap, k)
      LEFT JOIN vault.allowance u ON u.b = i.b AND u.owner = i.owner AND u.limit_id = l.limit_id
        AND u.period_start = vault.period_start(l.period, CASE i.op WHEN 1 THEN i.earned_on ELSE p_day END)) END,
    CASE WHEN i.op IN (3, 4, 20) THEN (
      SELECT count(*) = CASE WHEN i.staff IS NULL THEN 3 ELSE 4 END
      FROM (VALUES ('merchant', i.merchant), ('store', i.store), ('terminal', i.terminal), ('staff', i.staff)) v (kind, id)
      JOIN vault.acceptor x ON x.kind = v.kind AND x.id = v.id
      WHERE x.open AND CASE v.kind WHEN 'merchant' THEN true WHEN 'terminal' THEN x.store_id = i.store ELSE x.merchant_id = i.merchant END)
    END,
    i.op = 20 OR EXISTS (SELECT FROM vault.journal_month x WHERE x.lower_id <= i.id AND x.upper_id > i.id),
    NULL::integer, NULL::integer, NULL::vault.slot, NULL::vault.slot, NULL::vault.slot[]
  FROM unnest(p_items) i
  LEFT JOIN vault.wallet w ON w.b = i.b AND w.owner = i.owner
  LEFT JOIN vault.journal j ON j.b = i.b AND j.owner = i.owner AND j.id = i.id AND j.id >= p_low AND j.id <= p_high
  LEFT JOIN vault.credential cr ON (i.op = 20 OR i.op = 3 AND i.lock IS NULL) AND cr.b = i.b AND cr.id = i.credential
  LEFT JOIN vault.coupon c ON c.b = i.b AND c.owner = i.owner
    AND c.id = CASE WHEN i.op = 20 OR i.op = 3 AND i.lock IS NULL THEN cr.coupon_id ELSE i.coupon END
  LEFT JOIN vault.coupon_terms t ON t.terms = CASE i.op WHEN 2 THEN i.terms ELSE c.terms END
  LEFT JOIN vault.earn_terms e ON i.op = 1 AND e.terms = i.terms
  LEFT JOIN vault.redemption r ON r.b = i.b AND r.owner = i.owner
    AND r.id = CASE i.op WHEN 4 THEN i.redemption WHEN 6 THEN c.redemption_id END
  WHERE i.round = p_round
$$;

-- The same for a round in which every item only moves points that are there: wallet, and row under the same id. A statement's
-- set-up costs more than its rows, and these operations need a fifth of it.
CREATE FUNCTION vault.read_points_facts(p_items vault.item[], p_round integer, p_low uuid, p_high uuid)
RETURNS SETOF vault.facts LANGUAGE sql STABLE AS $$
  SELECT i, w, j, NULL::vault.journal, NULL::vault.hold, NULL::vault.refunded, NULL::vault.credential, NULL::vault.coupon,
    NULL::vault.coupon_terms, NULL::vault.earn_terms, NULL::vault.redemption, NULL::vault.order_so_far, NULL::text, NULL::bigint[],
    NULL::boolean,
    EXISTS (SELECT FROM vault.journal_month x WHERE x.lower_id <= i.id AND x.upper_id > i.id),
    NULL::integer, NULL::integer, NULL::vault.slot, NULL::vault.slot, NULL::vault.slot[]
  FROM unnest(p_items) i
  LEFT JOIN vault.wallet w ON w.b = i.b AND w.owner = i.owner
  LEFT JOIN vault.journal j ON j.b = i.b AND j.owner = i.owner AND j.id = i.id AND j.id >= p_low AND j.id <= p_high
  WHERE i.round = p_round
$$;
