-- Facts that people bring: what the tables themselves promise.
ALTER TABLE fact_batch
    ADD CONSTRAINT fact_batch_status_known CHECK (status IN ('receiving', 'requested', 'running', 'finished', 'cancelled')),
    ADD CONSTRAINT fact_batch_filled CHECK (length(btrim(kind)) > 0 AND length(btrim(document)) > 0),
    ADD CONSTRAINT fact_batch_named CHECK (source ~ '^[a-z0-9_-]*$' AND (kind = 'administrator_grant') = (occasion <> '')),
    ADD CONSTRAINT fact_batch_list FOREIGN KEY (list_id) REFERENCES recipient_list (id),
    ADD CONSTRAINT fact_batch_counts CHECK (least(taken, unknown, repeated, unreadable, mistimed) >= 0 AND told BETWEEN 0 AND taken),
    -- Two people for what costs money (D35).
    ADD CONSTRAINT fact_batch_two_people CHECK (CASE WHEN approved_by IS NULL THEN status IN ('receiving', 'requested', 'cancelled')
        ELSE approved_by <> created_by AND approved_at IS NOT NULL END),
    ADD CONSTRAINT fact_batch_ended_when CHECK ((status IN ('finished', 'cancelled')) = (ended_at IS NOT NULL));
CREATE INDEX fact_batch_open ON fact_batch (id) WHERE status IN ('receiving', 'running');

-- What was written down is what was approved: only how far it has come may change.
CREATE FUNCTION fact_batch_stays_as_written() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    course constant text[] := ARRAY['status', 'told', 'position', 'approved_by', 'approved_at', 'ended_at'];
BEGIN
    IF OLD.status <> 'receiving' AND (to_jsonb(NEW) - course <> to_jsonb(OLD) - course OR NEW.status = 'receiving')
       OR OLD.approved_by IS NOT NULL AND NEW.approved_by IS DISTINCT FROM OLD.approved_by
       OR NEW.position < OLD.position OR NEW.told < OLD.told
       OR OLD.status IN ('finished', 'cancelled') AND NEW.status <> OLD.status THEN
        RAISE EXCEPTION 'fact batch % stays as it was written down', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fact_batch_stays_as_written BEFORE UPDATE ON fact_batch
    FOR EACH ROW EXECUTE FUNCTION fact_batch_stays_as_written();

ALTER TABLE fact_line
    ADD CONSTRAINT fact_line_named CHECK (length(btrim(source_id)) > 0),
    ADD CONSTRAINT fact_line_attributes CHECK (jsonb_typeof(attributes) = 'object');
CREATE INDEX fact_line_in_order ON fact_line (batch_id, id);
CREATE FUNCTION fact_line_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'a line that was taken stays as it is' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER fact_line_stays BEFORE UPDATE ON fact_line FOR EACH ROW EXECUTE FUNCTION fact_line_stays();
