-- The ledger office: what the table itself promises.
ALTER TABLE adjustment
    ADD CONSTRAINT adjustment_status_known CHECK (status IN ('pending', 'approved', 'rejected', 'posted', 'refused')),
    ADD CONSTRAINT adjustment_points CHECK (points <> 0 AND points BETWEEN -1000000 AND 1000000),
    ADD CONSTRAINT adjustment_validity CHECK (validity_months BETWEEN 1 AND 24),
    ADD CONSTRAINT adjustment_filled CHECK (length(btrim(reason)) > 0 AND length(btrim(document)) > 0),
    -- Two people for what costs money (D35): whoever asked may neither approve nor reject.
    ADD CONSTRAINT adjustment_two_people CHECK ((status = 'pending') = (decided_by IS NULL) AND decided_by <> requested_by),
    ADD CONSTRAINT adjustment_decided_when CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
    ADD CONSTRAINT adjustment_rejected_why CHECK (status <> 'rejected' OR length(btrim(decision_note)) > 0),
    ADD CONSTRAINT adjustment_named CHECK ((status IN ('approved', 'posted', 'refused')) = (vault_id IS NOT NULL)),
    ADD CONSTRAINT adjustment_due_when CHECK ((status = 'approved') = (due_at IS NOT NULL)),
    ADD CONSTRAINT adjustment_settled_when CHECK ((status IN ('posted', 'refused')) = (settled_at IS NOT NULL)),
    ADD CONSTRAINT adjustment_answered CHECK (CASE status
        WHEN 'posted' THEN answer = 'done' AND points_after IS NOT NULL
        WHEN 'refused' THEN answer NOT IN ('', 'done') AND points_after IS NULL
        ELSE answer = '' AND points_after IS NULL END);
CREATE INDEX adjustment_due ON adjustment (due_at) WHERE status = 'approved';

-- What was asked for never changes, a decision is never taken back, and what is settled never moves again.
CREATE FUNCTION adjustment_fixed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    course constant text[] := ARRAY['status', 'decided_by', 'decided_at', 'decision_note', 'vault_id', 'attempts', 'due_at',
        'answer', 'points_after', 'expires_on', 'settled_at'];
    settling constant text[] := ARRAY['status', 'attempts', 'due_at', 'answer', 'points_after', 'expires_on', 'settled_at'];
BEGIN
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - course <> to_jsonb(OLD) - course OR OLD.status IN ('rejected', 'posted', 'refused')
       OR (OLD.status = 'pending' AND NEW.status NOT IN ('pending', 'approved', 'rejected'))
       OR (OLD.status = 'approved' AND (NEW.status NOT IN ('approved', 'posted', 'refused')
           OR to_jsonb(NEW) - settling <> to_jsonb(OLD) - settling)) THEN
        RAISE EXCEPTION 'adjustment % cannot be changed', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER adjustment_fixed BEFORE UPDATE OR DELETE ON adjustment FOR EACH ROW EXECUTE FUNCTION adjustment_fixed();
