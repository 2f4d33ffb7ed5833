-- Incentives: what the tables themselves promise.
ALTER TABLE fact
    ADD CONSTRAINT fact_named CHECK (length(btrim(kind)) > 0 AND length(btrim(source_id)) > 0),
    ADD CONSTRAINT fact_attributes_object CHECK (jsonb_typeof(attributes) = 'object');

-- The life of a campaign or a template. What is not live yet has no version that counts.
ALTER TABLE campaign
    ADD CONSTRAINT campaign_status_known CHECK (status IN
        ('draft', 'in_review', 'approved', 'scheduled', 'active', 'paused', 'ended', 'archived')),
    ADD CONSTRAINT campaign_pending_known CHECK (pending IN ('terms', 'open', 'close')),
    ADD CONSTRAINT campaign_live CHECK (CASE WHEN status IN ('draft', 'in_review', 'approved') THEN live_version IS NULL
        ELSE live_version IS NOT NULL OR (status = 'paused' AND pending IS NOT NULL) OR end_reason = 'discarded' END),
    ADD CONSTRAINT campaign_ended_when CHECK ((status IN ('ended', 'archived')) = (ended_at IS NOT NULL)),
    ADD CONSTRAINT campaign_ended_why CHECK (end_reason IN ('', 'budget_exhausted', 'time', 'manual', 'discarded')
        AND (end_reason <> '') = (ended_at IS NOT NULL)
        AND (end_reason <> 'discarded' OR status = 'archived' AND live_version IS NULL));
ALTER TABLE coupon_template
    ADD CONSTRAINT coupon_template_status_known CHECK (status IN
        ('draft', 'in_review', 'approved', 'scheduled', 'active', 'paused', 'ended', 'archived')),
    ADD CONSTRAINT coupon_template_pending_known CHECK (pending IN ('terms', 'open', 'close')),
    ADD CONSTRAINT coupon_template_live CHECK (CASE WHEN status IN ('draft', 'in_review', 'approved') THEN live_version IS NULL
        ELSE live_version IS NOT NULL OR (status = 'paused' AND pending IS NOT NULL) OR end_reason = 'discarded' END),
    ADD CONSTRAINT coupon_template_ended_when CHECK ((status IN ('ended', 'archived')) = (ended_at IS NOT NULL)),
    ADD CONSTRAINT coupon_template_ended_why CHECK (end_reason IN ('', 'budget_exhausted', 'time', 'manual', 'discarded')
        AND (end_reason <> '') = (ended_at IS NOT NULL)
        AND (end_reason <> 'discarded' OR status = 'archived' AND live_version IS NULL));

-- Two people for what costs money (D35): whoever edited a version last may not approve it.
ALTER TABLE campaign_version
    ADD CONSTRAINT campaign_version_status_known CHECK (status IN
        ('draft', 'in_review', 'rejected', 'approved', 'live', 'superseded', 'discarded')),
    ADD CONSTRAINT campaign_version_two_people CHECK (CASE WHEN status IN ('approved', 'live', 'superseded')
        THEN approved_by IS NOT NULL AND approved_by <> created_by ELSE approved_by IS NULL END),
    ADD CONSTRAINT campaign_version_approved_when CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    ADD CONSTRAINT campaign_version_submitted_when CHECK ((submitted_by IS NULL) = (submitted_at IS NULL)
        AND (status NOT IN ('in_review', 'approved', 'live', 'superseded') OR submitted_by IS NOT NULL)),
    ADD CONSTRAINT campaign_version_live_when CHECK ((status IN ('live', 'superseded')) = (live_at IS NOT NULL)
        AND (status = 'superseded') = (superseded_at IS NOT NULL)),
    ADD CONSTRAINT campaign_version_rejected_why CHECK (status <> 'rejected' OR length(btrim(comment)) > 0),
    ADD CONSTRAINT campaign_version_number CHECK (number > 0),
    ADD CONSTRAINT campaign_version_filled CHECK (length(btrim(title)) > 0 AND length(btrim(document)) > 0),
    ADD CONSTRAINT campaign_version_window CHECK (ends_at > starts_at),
    ADD CONSTRAINT campaign_version_validity CHECK (validity_months BETWEEN 1 AND 24),
    ADD CONSTRAINT campaign_version_rule CHECK (jsonb_typeof(rule) = 'object'
        AND trigger = coalesce(rule -> 'trigger' ->> 'fact', rule -> 'trigger' ->> 'kind', '')),
    ADD CONSTRAINT campaign_version_hold_out CHECK (hold_out IS NULL OR coalesce(
        (hold_out ->> 'share_bp')::integer BETWEEN 1 AND 5000 AND (hold_out ->> 'days')::integer BETWEEN 1 AND 365
        AND length(hold_out ->> 'outcome') > 0
        AND trigger NOT IN ('administrator_grant', 'recipients_file', 'redemption_voided', 'points_expired'), false));
ALTER TABLE coupon_template_version
    ADD CONSTRAINT coupon_template_version_status_known CHECK (status IN
        ('draft', 'in_review', 'rejected', 'approved', 'live', 'superseded', 'discarded')),
    ADD CONSTRAINT coupon_template_version_two_people CHECK (CASE WHEN status IN ('approved', 'live', 'superseded')
        THEN approved_by IS NOT NULL AND approved_by <> created_by ELSE approved_by IS NULL END),
    ADD CONSTRAINT coupon_template_version_approved_when CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    ADD CONSTRAINT coupon_template_version_submitted_when CHECK ((submitted_by IS NULL) = (submitted_at IS NULL)
        AND (status NOT IN ('in_review', 'approved', 'live', 'superseded') OR submitted_by IS NOT NULL)),
    ADD CONSTRAINT coupon_template_version_live_when CHECK ((status IN ('live', 'superseded')) = (live_at IS NOT NULL)
        AND (status = 'superseded') = (superseded_at IS NOT NULL)),
    ADD CONSTRAINT coupon_template_version_rejected_why CHECK (status <> 'rejected' OR length(btrim(comment)) > 0),
    ADD CONSTRAINT coupon_template_version_number CHECK (number > 0),
    ADD CONSTRAINT coupon_template_version_filled CHECK (length(btrim(title)) > 0 AND length(btrim(document)) > 0),
    ADD CONSTRAINT coupon_template_version_window CHECK (ends_at > starts_at),
    ADD CONSTRAINT coupon_template_version_amounts CHECK (face_value_fen >= 0 AND cap_fen >= 0 AND threshold_fen >= 0 AND price_points >= 0),
    ADD CONSTRAINT coupon_template_version_pay CHECK (pay_bp BETWEEN 0 AND 10000),
    ADD CONSTRAINT coupon_template_version_shares CHECK (least(platform_bp, sponsor_bp, merchant_bp) >= 0
        AND platform_bp + sponsor_bp + merchant_bp = 10000),
    ADD CONSTRAINT coupon_template_version_kind CHECK (CASE kind
        WHEN 'amount_off' THEN face_value_fen > 0 AND pay_bp = 0 AND cap_fen = 0
        WHEN 'discount' THEN face_value_fen = 0 AND pay_bp BETWEEN 1 AND 9999 AND cap_fen > 0
        WHEN 'exchange' THEN pay_bp = 0 AND cap_fen = 0 AND threshold_fen = 0
        ELSE false END),
    ADD CONSTRAINT coupon_template_version_validity CHECK (valid_days BETWEEN 0 AND 3660 AND (valid_days > 0 OR valid_until IS NOT NULL)),
    ADD CONSTRAINT coupon_template_version_void_window CHECK (void_window_s BETWEEN 0 AND 604800),
    ADD CONSTRAINT coupon_template_version_grace CHECK (grace_days BETWEEN 0 AND 365),
    ADD CONSTRAINT coupon_template_version_places CHECK (jsonb_typeof(merchants) = 'array' AND jsonb_typeof(stores) = 'array'),
    ADD CONSTRAINT coupon_template_version_days CHECK (starts_after_days BETWEEN 0 AND 3660 AND (valid_from <= valid_until) IS NOT FALSE),
    ADD CONSTRAINT coupon_template_version_windows CHECK (jsonb_typeof(windows) = 'array' AND jsonb_array_length(windows) <= 16),
    ADD CONSTRAINT coupon_template_version_orders CHECK (most_per_order BETWEEN 1 AND 100
        AND (stacking_group IS NOT NULL OR most_per_order = 1) AND (length(btrim(stacking_group)) > 0) IS NOT FALSE),
    ADD CONSTRAINT coupon_template_version_drawn CHECK (NOT (by_lottery AND claimable)),
    ADD CONSTRAINT coupon_template_version_goods CHECK ((goods_quantity > 0) = (goods_name <> '')
        AND goods_quantity BETWEEN 0 AND 1000 AND (kind = 'exchange' OR goods_quantity = 0));

-- Limits are counted in the ledger (D17), per person or at places; each way of counting stands in the list once. Merchants and
-- stores see redemptions only, and what it costs the budget is counted at places only.
CREATE FUNCTION incentive_limits_ok(limits jsonb, actions text[]) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_typeof(limits) = 'array' AND jsonb_array_length(limits) <= 8 AND coalesce((
        SELECT bool_and(coalesce(l ->> 'action' = ANY (actions) AND l ->> 'period' IN ('total', 'day', 'week', 'month')
                   AND (l ->> 'scope' IN ('resident', 'campaign', 'town') OR l ->> 'scope' IN ('merchant', 'store') AND l ->> 'action' = 'redeem')
                   AND (l ->> 'measure' IN ('count', 'points', 'face_value_fen') OR l ->> 'measure' = 'fen' AND l ->> 'scope' <> 'resident')
                   AND (l ->> 'cap')::bigint > 0, false))
               AND count(DISTINCT (l ->> 'scope', l ->> 'action', l ->> 'measure', l ->> 'period')) = count(*)
        FROM jsonb_array_elements(limits) l), true)
$$;
GRANT EXECUTE ON FUNCTION incentive_limits_ok(jsonb, text[]) TO chengxin_app, chengxin_worker;
ALTER TABLE campaign_version ADD CONSTRAINT campaign_version_limits CHECK (incentive_limits_ok(limits, ARRAY['earn']));
ALTER TABLE coupon_template_version
    ADD CONSTRAINT coupon_template_version_limits CHECK (incentive_limits_ok(limits, ARRAY['issue', 'redeem']));

-- One version is being worked on and one counts; the one that counts is the campaign's own.
CREATE UNIQUE INDEX campaign_version_open_once ON campaign_version (campaign_id)
    WHERE status IN ('draft', 'in_review', 'rejected', 'approved');
CREATE UNIQUE INDEX campaign_version_live_once ON campaign_version (campaign_id) WHERE status = 'live';
ALTER TABLE campaign_version ADD CONSTRAINT campaign_version_of_campaign UNIQUE (campaign_id, id);
ALTER TABLE campaign ADD CONSTRAINT campaign_live_version FOREIGN KEY (id, live_version)
    REFERENCES campaign_version (campaign_id, id);
CREATE UNIQUE INDEX coupon_template_version_open_once ON coupon_template_version (template_id)
    WHERE status IN ('draft', 'in_review', 'rejected', 'approved');
CREATE UNIQUE INDEX coupon_template_version_live_once ON coupon_template_version (template_id) WHERE status = 'live';
ALTER TABLE coupon_template_version ADD CONSTRAINT coupon_template_version_of_template UNIQUE (template_id, id);
ALTER TABLE coupon_template ADD CONSTRAINT coupon_template_live_version FOREIGN KEY (id, live_version)
    REFERENCES coupon_template_version (template_id, id);

ALTER TABLE campaign_span
    ADD CONSTRAINT campaign_span_forward CHECK (until_at >= from_at),
    ADD CONSTRAINT campaign_span_of_campaign FOREIGN KEY (campaign_id, version_id) REFERENCES campaign_version (campaign_id, id);
CREATE UNIQUE INDEX campaign_span_open_once ON campaign_span (campaign_id) WHERE until_at IS NULL;

ALTER TABLE date_call
    ADD CONSTRAINT date_call_version FOREIGN KEY (version_id) REFERENCES campaign_version (id),
    ADD CONSTRAINT date_call_course CHECK (told >= 0 AND (finished_at >= begun_at) IS NOT FALSE);

ALTER TABLE budget
    ADD CONSTRAINT budget_unit_known CHECK (unit IN ('points', 'coupons', 'fen')),
    ADD CONSTRAINT budget_one_owner CHECK (num_nonnulls(campaign_id, template_id) = 1),
    ADD CONSTRAINT budget_unit_of_owner CHECK ((unit = 'points') = (campaign_id IS NOT NULL)),
    ADD CONSTRAINT budget_planned CHECK (planned > 0);

ALTER TABLE budget_request
    ADD CONSTRAINT budget_request_kind_known CHECK (kind IN ('topup', 'cut')),
    ADD CONSTRAINT budget_request_amount CHECK (amount > 0),
    ADD CONSTRAINT budget_request_document CHECK (length(btrim(document)) > 0),
    ADD CONSTRAINT budget_request_status_known
        CHECK (status IN ('requested', 'approved', 'done', 'refused', 'rejected', 'withdrawn')),
    ADD CONSTRAINT budget_request_two_people CHECK (CASE WHEN status IN ('requested', 'rejected', 'withdrawn')
        THEN approved_by IS NULL ELSE approved_by IS NOT NULL AND approved_by <> requested_by END),
    ADD CONSTRAINT budget_request_approved_when CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    ADD CONSTRAINT budget_request_settled_when CHECK ((status IN ('requested', 'approved')) = (settled_at IS NULL));
CREATE INDEX budget_request_open ON budget_request (approved_at) WHERE status = 'approved';

ALTER TABLE award
    ADD CONSTRAINT award_status_known CHECK (status IN ('pending', 'posted', 'refused', 'withheld')),
    ADD CONSTRAINT award_held_out CHECK (CASE WHEN held_out THEN status IN ('withheld', 'refused') ELSE status <> 'withheld' END
        AND withheld_fen >= 0 AND (withheld_fen = 0 OR status = 'withheld')),
    ADD CONSTRAINT award_settled_when CHECK ((status = 'pending') = (settled_at IS NULL)),
    ADD CONSTRAINT award_refused_why CHECK ((status = 'refused') = (reason <> '')),
    ADD CONSTRAINT award_effect CHECK (effect IN ('points', 'coupon', 'free_minutes', 'lottery_ticket')
        AND (effect = 'points') = (points > 0) AND points >= 0 AND (effect IN ('points', 'coupon') OR status <> 'pending'));
ALTER TABLE budget_alert
    ADD CONSTRAINT budget_alert_threshold CHECK (threshold_percent BETWEEN 1 AND 100 AND times > 0),
    ADD CONSTRAINT budget_alert_acknowledged CHECK ((acknowledged_by IS NULL) = (acknowledged_at IS NULL));
ALTER TABLE free_minutes
    ADD CONSTRAINT free_minutes_amount CHECK (minutes > 0 AND used BETWEEN 0 AND minutes),
    ADD CONSTRAINT free_minutes_scene CHECK (scene IN ('parking'));
CREATE INDEX award_withheld ON award (campaign_id) WHERE status = 'withheld';
CREATE INDEX award_due ON award (due_at) WHERE status = 'pending' AND effect = 'points';

ALTER TABLE award
    ADD CONSTRAINT award_of_campaign FOREIGN KEY (campaign_id, version_id) REFERENCES campaign_version (campaign_id, id);

-- What all together, or each town, may have of a campaign that gives no points (D17): a row counts for one limit at one place in
-- one period, and nothing goes beyond it. An award that is refused gives back what it took, whoever refuses it.
CREATE TABLE award_counter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    campaign_id bigint NOT NULL REFERENCES campaign,
    scope text NOT NULL CONSTRAINT award_counter_scope CHECK (scope IN ('campaign', 'town')),
    place text NOT NULL,
    period text NOT NULL CONSTRAINT award_counter_period CHECK (period IN ('total', 'day', 'week', 'month')),
    period_start date NOT NULL,
    used bigint NOT NULL,
    most bigint NOT NULL,
    CONSTRAINT award_counter_within CHECK (used BETWEEN 0 AND most),
    UNIQUE (campaign_id, scope, period, period_start, place)
);
CREATE TABLE award_take (
    award_id bigint REFERENCES award ON DELETE CASCADE,
    counter_id bigint REFERENCES award_counter,
    PRIMARY KEY (award_id, counter_id)
);
CREATE FUNCTION incentive_award_gives_back() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    taken record;
BEGIN
    -- In the order in which awards take, so that nobody waits in a circle.
    FOR taken IN
        SELECT c.id, count(*) AS times, array_agg(t.award_id) AS awards
        FROM changed n JOIN award_take t ON t.award_id = n.id JOIN award_counter c ON c.id = t.counter_id
        WHERE n.status = 'refused' GROUP BY c.id ORDER BY c.campaign_id, c.scope, c.period, c.period_start, c.place
    LOOP
        UPDATE award_counter SET used = used - taken.times WHERE id = taken.id;
        DELETE FROM award_take WHERE counter_id = taken.id AND award_id = ANY (taken.awards);
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER award_gives_back AFTER UPDATE ON award REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION incentive_award_gives_back();

-- A version begins as a draft and may be discarded as one; what was reviewed is approved as it is; what was approved is what
-- residents were told: it only becomes live and is superseded, and never goes back.
CREATE FUNCTION incentive_version_course() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    course constant text[] := ARRAY['status', 'changed_at', 'live_at', 'superseded_at'];
    approval constant text[] := course || ARRAY['approved_by', 'approved_at', 'starts_at'];  -- a start that is over is lifted
    fits boolean;
BEGIN
    IF TG_OP = 'INSERT' THEN
        fits := NEW.status = 'draft';
    ELSIF TG_OP = 'DELETE' THEN
        fits := OLD.status IN ('draft', 'in_review', 'rejected');
    ELSIF OLD.status IN ('draft', 'in_review', 'rejected') THEN
        fits := NEW.id = OLD.id AND NEW.number = OLD.number AND (NEW.status IN ('draft', 'in_review', 'rejected', 'discarded')
            OR OLD.status = 'in_review' AND NEW.status = 'approved' AND to_jsonb(NEW) - approval = to_jsonb(OLD) - approval
               AND (NEW.starts_at = OLD.starts_at OR NEW.starts_at > OLD.starts_at AND NEW.starts_at <= NEW.approved_at));
    ELSE
        fits := to_jsonb(NEW) - course = to_jsonb(OLD) - course
            AND (NEW.status = OLD.status OR (OLD.status, NEW.status) IN (('approved', 'live'), ('live', 'superseded')))
            AND (OLD.live_at IS NULL OR NEW.live_at = OLD.live_at)
            AND (OLD.superseded_at IS NULL OR NEW.superseded_at = OLD.superseded_at);
    END IF;
    IF fits IS NOT TRUE THEN
        RAISE EXCEPTION '% %: what was approved cannot be changed', TG_TABLE_NAME, coalesce(OLD.id, NEW.id)
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER campaign_version_course BEFORE INSERT OR UPDATE OR DELETE ON campaign_version
    FOR EACH ROW EXECUTE FUNCTION incentive_version_course();
CREATE TRIGGER coupon_template_version_course BEFORE INSERT OR UPDATE OR DELETE ON coupon_template_version
    FOR EACH ROW EXECUTE FUNCTION incentive_version_course();

-- A life goes forward: what leaves review has an approved version, what runs has one that is live, what ended stays ended.
CREATE FUNCTION incentive_life() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    owner_column constant text := CASE TG_TABLE_NAME WHEN 'campaign' THEN 'campaign_id' ELSE 'template_id' END;
    wanted text;
    found_one boolean;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.status NOT IN ('draft', 'in_review') THEN
            RAISE EXCEPTION '% % was approved and stays', TG_TABLE_NAME, OLD.id USING ERRCODE = 'check_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF (NEW.id, NEW.created_by, NEW.created_at) IS DISTINCT FROM (OLD.id, OLD.created_by, OLD.created_at)
       OR OLD.status NOT IN ('draft', 'in_review') AND NEW.status IN ('draft', 'in_review')
       OR OLD.status IN ('scheduled', 'active') AND NEW.status = 'approved'
       OR OLD.status = 'ended' AND NEW.status NOT IN ('ended', 'archived')
       OR OLD.status = 'archived' AND NEW.status <> 'archived'
       OR OLD.status <> 'archived' AND NEW.status = 'archived' AND OLD.status <> 'ended'
          AND (OLD.status, NEW.end_reason) <> ('draft', 'discarded')
       OR OLD.live_version IS NOT NULL AND NEW.live_version IS NULL
       OR OLD.activated_at IS NOT NULL AND NEW.activated_at IS DISTINCT FROM OLD.activated_at
       OR OLD.ended_at IS NOT NULL AND (NEW.ended_at, NEW.end_reason) IS DISTINCT FROM (OLD.ended_at, OLD.end_reason) THEN
        RAISE EXCEPTION '% % cannot go from % to %', TG_TABLE_NAME, OLD.id, OLD.status, NEW.status USING ERRCODE = 'check_violation';
    END IF;
    wanted := CASE WHEN NEW.live_version IS DISTINCT FROM OLD.live_version THEN 'live'
                   WHEN NEW.status NOT IN ('draft', 'in_review') AND NEW.live_version IS NULL
                   THEN CASE NEW.end_reason WHEN 'discarded' THEN 'discarded' ELSE 'approved' END END;
    IF wanted IS NOT NULL THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %I = $1 AND status = $2 AND ($3 IS NULL OR id = $3))',
                       TG_TABLE_NAME || '_version', owner_column) INTO found_one USING NEW.id, wanted, NEW.live_version;
        IF NOT found_one THEN
            RAISE EXCEPTION '% % has no such version that is %', TG_TABLE_NAME, OLD.id, wanted USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER campaign_life BEFORE UPDATE OR DELETE ON campaign FOR EACH ROW EXECUTE FUNCTION incentive_life();
CREATE TRIGGER coupon_template_life BEFORE UPDATE OR DELETE ON coupon_template FOR EACH ROW EXECUTE FUNCTION incentive_life();

-- A planned amount is approved with the first version; afterwards only top-ups and cuts change a total.
CREATE FUNCTION incentive_budget_fixed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    owner_status text;
BEGIN
    SELECT c.status INTO owner_status FROM campaign c WHERE c.id = coalesce(NEW.campaign_id, OLD.campaign_id);
    IF NOT FOUND THEN
        SELECT t.status INTO owner_status FROM coupon_template t WHERE t.id = coalesce(NEW.template_id, OLD.template_id);
    END IF;
    IF owner_status NOT IN ('draft', 'in_review') THEN
        RAISE EXCEPTION 'the budgets of an approved rule are fixed' USING ERRCODE = 'check_violation';
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER budget_fixed BEFORE INSERT OR UPDATE OR DELETE ON budget FOR EACH ROW EXECUTE FUNCTION incentive_budget_fixed();

-- A request's content never changes, and a settled one never moves again.
CREATE FUNCTION incentive_request_fixed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    course constant text[] := ARRAY['status', 'reason', 'approved_by', 'approved_at', 'settled_at'];
BEGIN
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - course <> to_jsonb(OLD) - course OR OLD.status NOT IN ('requested', 'approved')
       OR (OLD.approved_by IS NOT NULL AND NEW.approved_by IS DISTINCT FROM OLD.approved_by) THEN
        RAISE EXCEPTION 'budget request % cannot be changed', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER budget_request_fixed BEFORE UPDATE OR DELETE ON budget_request
    FOR EACH ROW EXECUTE FUNCTION incentive_request_fixed();

-- Facts of before this instant are forgotten: none is taken in, and only they may go. It moves on and never back.
CREATE TABLE fact_border (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    before timestamptz NOT NULL
);
CREATE FUNCTION incentive_border_moves_on() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND NEW.before < OLD.before OR NEW.before > vault.now() - interval '1 year' THEN
        RAISE EXCEPTION 'facts are kept for a year at least, and what is forgotten is forgotten' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fact_border_moves_on BEFORE INSERT OR UPDATE OR DELETE ON fact_border
    FOR EACH ROW EXECUTE FUNCTION incentive_border_moves_on();

-- A fact was told once and stays as it was told, until it is forgotten.
CREATE FUNCTION incentive_fact_fixed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.occurred_at < (SELECT b.before FROM fact_border b) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'facts are append-only' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER fact_fixed BEFORE UPDATE OR DELETE ON fact FOR EACH ROW EXECUTE FUNCTION incentive_fact_fixed();
