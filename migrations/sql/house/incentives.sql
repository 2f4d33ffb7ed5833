-- Incentives: what the tables themselves promise.
ALTER TABLE fact
    ADD CONSTRAINT fact_named CHECK (length(btrim(kind)) > 0 AND length(btrim(source_id)) > 0),
    ADD CONSTRAINT fact_attributes_object CHECK (jsonb_typeof(attributes) = 'object');

-- Two people for what costs money (D35): whoever edited last may not approve.
ALTER TABLE campaign
    ADD CONSTRAINT campaign_status_known CHECK (status IN
        ('draft', 'in_review', 'approved', 'activating', 'scheduled', 'active', 'paused', 'ended')),
    ADD CONSTRAINT campaign_pending_known CHECK (pending IN ('activate', 'open', 'close')),
    ADD CONSTRAINT campaign_activating CHECK ((status = 'activating') = (pending IS NOT DISTINCT FROM 'activate')),
    ADD CONSTRAINT campaign_two_people CHECK (status IN ('draft', 'in_review')
        OR (activated_by IS NOT NULL AND activated_by <> created_by)),
    ADD CONSTRAINT campaign_filled CHECK (length(btrim(title)) > 0 AND length(btrim(document)) > 0),
    ADD CONSTRAINT campaign_window CHECK (ends_at > starts_at),
    ADD CONSTRAINT campaign_points CHECK (points > 0),
    ADD CONSTRAINT campaign_validity CHECK (validity_months BETWEEN 1 AND 24),
    ADD CONSTRAINT campaign_per_person CHECK (per_person > 0),
    ADD CONSTRAINT campaign_per_person_period CHECK (per_person_period IN ('total', 'day', 'week', 'month')),
    ADD CONSTRAINT campaign_ended_when CHECK ((status = 'ended') = (ended_at IS NOT NULL));

ALTER TABLE campaign_span
    ADD CONSTRAINT campaign_span_forward CHECK (until_at >= from_at);
CREATE UNIQUE INDEX campaign_span_open_once ON campaign_span (campaign_id) WHERE until_at IS NULL;

ALTER TABLE coupon_template
    ADD CONSTRAINT coupon_template_status_known CHECK (status IN
        ('draft', 'in_review', 'approved', 'activating', 'scheduled', 'active', 'paused', 'ended')),
    ADD CONSTRAINT coupon_template_pending_known CHECK (pending IN ('activate', 'open', 'close')),
    ADD CONSTRAINT coupon_template_activating CHECK ((status = 'activating') = (pending IS NOT DISTINCT FROM 'activate')),
    ADD CONSTRAINT coupon_template_two_people CHECK (status IN ('draft', 'in_review')
        OR (activated_by IS NOT NULL AND activated_by <> created_by)),
    ADD CONSTRAINT coupon_template_filled CHECK (length(btrim(title)) > 0 AND length(btrim(document)) > 0),
    ADD CONSTRAINT coupon_template_window CHECK (ends_at > starts_at),
    ADD CONSTRAINT coupon_template_version CHECK (version > 0),
    ADD CONSTRAINT coupon_template_per_person CHECK (per_person > 0),
    ADD CONSTRAINT coupon_template_per_person_period CHECK (per_person_period IN ('total', 'day', 'week', 'month')),
    ADD CONSTRAINT coupon_template_amounts CHECK (face_value_fen >= 0 AND cap_fen >= 0 AND threshold_fen >= 0 AND price_points >= 0),
    ADD CONSTRAINT coupon_template_shares CHECK (sponsor_bp BETWEEN 0 AND 10000 AND pay_bp BETWEEN 0 AND 10000),
    ADD CONSTRAINT coupon_template_kind CHECK (CASE kind
        WHEN 'amount_off' THEN face_value_fen > 0 AND pay_bp = 0 AND cap_fen = 0
        WHEN 'discount' THEN face_value_fen = 0 AND pay_bp BETWEEN 1 AND 9999 AND cap_fen > 0
        WHEN 'exchange' THEN pay_bp = 0 AND cap_fen = 0 AND threshold_fen = 0
        ELSE false END),
    ADD CONSTRAINT coupon_template_validity CHECK (valid_days BETWEEN 0 AND 3660 AND (valid_days > 0 OR valid_until IS NOT NULL)),
    ADD CONSTRAINT coupon_template_void_window CHECK (void_window_s BETWEEN 0 AND 604800),
    ADD CONSTRAINT coupon_template_grace CHECK (grace_days BETWEEN 0 AND 365),
    ADD CONSTRAINT coupon_template_merchants CHECK (jsonb_typeof(merchants) = 'array'),
    ADD CONSTRAINT coupon_template_ended_when CHECK ((status = 'ended') = (ended_at IS NOT NULL));

ALTER TABLE budget
    ADD CONSTRAINT budget_unit_known CHECK (unit IN ('points', 'coupons', 'fen')),
    ADD CONSTRAINT budget_one_owner CHECK (num_nonnulls(campaign_id, template_id) = 1),
    ADD CONSTRAINT budget_unit_of_owner CHECK ((unit = 'points') = (campaign_id IS NOT NULL)),
    ADD CONSTRAINT budget_planned CHECK (planned > 0);

ALTER TABLE budget_request
    ADD CONSTRAINT budget_request_kind_known CHECK (kind IN ('topup', 'cut')),
    ADD CONSTRAINT budget_request_amount CHECK (amount > 0),
    ADD CONSTRAINT budget_request_document CHECK (length(btrim(document)) > 0),
    ADD CONSTRAINT budget_request_status_known CHECK (status IN ('requested', 'approved', 'done', 'refused')),
    ADD CONSTRAINT budget_request_two_people CHECK (status = 'requested' OR (approved_by IS NOT NULL AND approved_by <> requested_by)),
    ADD CONSTRAINT budget_request_approved_when CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    ADD CONSTRAINT budget_request_settled_when CHECK ((status IN ('done', 'refused')) = (settled_at IS NOT NULL));
CREATE INDEX budget_request_open ON budget_request (approved_at) WHERE status = 'approved';

ALTER TABLE award
    ADD CONSTRAINT award_status_known CHECK (status IN ('pending', 'posted', 'refused')),
    ADD CONSTRAINT award_settled_when CHECK ((status = 'pending') = (settled_at IS NULL)),
    ADD CONSTRAINT award_refused_why CHECK ((status = 'refused') = (reason <> ''));
CREATE INDEX award_due ON award (due_at) WHERE status = 'pending';

-- A rule that was approved is what residents were told: only its course may change, and it never goes back.
CREATE FUNCTION incentive_rule_fixed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    course constant text[] := ARRAY['status', 'pending', 'revision', 'changed_at', 'ended_at', 'end_reason', 'activated_at'];
BEGIN
    IF OLD.status IN ('draft', 'in_review') THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - course <> to_jsonb(OLD) - course
       OR NEW.status IN ('draft', 'in_review') OR (NEW.status = 'approved' AND OLD.status <> 'approved') OR (NEW.status = 'activating' AND OLD.status NOT IN ('approved', 'activating'))
       OR (OLD.status = 'ended' AND NEW.status <> 'ended')
       OR (OLD.activated_at IS NOT NULL AND NEW.activated_at IS DISTINCT FROM OLD.activated_at)
       OR (OLD.ended_at IS NOT NULL AND NEW.ended_at IS DISTINCT FROM OLD.ended_at) THEN
        RAISE EXCEPTION '% % is approved and cannot be changed', TG_TABLE_NAME, OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER campaign_fixed BEFORE UPDATE OR DELETE ON campaign FOR EACH ROW EXECUTE FUNCTION incentive_rule_fixed();
CREATE TRIGGER coupon_template_fixed BEFORE UPDATE OR DELETE ON coupon_template FOR EACH ROW EXECUTE FUNCTION incentive_rule_fixed();

-- A planned amount belongs to the rule that was approved; afterwards only top-ups and cuts change a total.
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
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - course <> to_jsonb(OLD) - course OR OLD.status IN ('done', 'refused')
       OR (OLD.approved_by IS NOT NULL AND NEW.approved_by IS DISTINCT FROM OLD.approved_by) THEN
        RAISE EXCEPTION 'budget request % cannot be changed', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER budget_request_fixed BEFORE UPDATE OR DELETE ON budget_request
    FOR EACH ROW EXECUTE FUNCTION incentive_request_fixed();

-- A fact was told once and stays as it was told.
CREATE FUNCTION incentive_fact_fixed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'facts are append-only' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER fact_fixed BEFORE UPDATE OR DELETE ON fact FOR EACH ROW EXECUTE FUNCTION incentive_fact_fixed();
