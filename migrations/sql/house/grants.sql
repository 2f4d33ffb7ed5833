-- Coupons that are given: what the tables themselves promise.
ALTER TABLE recipient_list
    ADD CONSTRAINT recipient_list_status_known CHECK (status IN ('receiving', 'ready', 'cleared')),
    ADD CONSTRAINT recipient_list_named CHECK (length(btrim(name)) > 0),
    ADD CONSTRAINT recipient_list_counts CHECK (taken >= 0 AND unknown >= 0 AND repeated >= 0 AND unreadable >= 0);

-- Two people for what costs money (D35), and no more than was ordered.
ALTER TABLE grant_job
    ADD CONSTRAINT grant_job_status_known CHECK (status IN ('requested', 'running', 'paused', 'finished', 'cancelled')),
    ADD CONSTRAINT grant_job_two_people CHECK (CASE WHEN approved_by IS NULL THEN status IN ('requested', 'cancelled')
        ELSE approved_by <> created_by AND approved_at IS NOT NULL END),
    ADD CONSTRAINT grant_job_of_whom CHECK (num_nonnulls(list_id, segment_id) = 1 AND (snapshot_id IS NULL OR segment_id IS NOT NULL)),
    ADD CONSTRAINT grant_job_document CHECK (length(btrim(document)) > 0),
    ADD CONSTRAINT grant_job_rate CHECK (per_second BETWEEN 1 AND 10000),
    ADD CONSTRAINT grant_job_counts CHECK (owed BETWEEN 0 AND recipients AND posted >= 0 AND refused >= 0 AND posted + refused <= owed),
    ADD CONSTRAINT grant_job_ended_when CHECK ((status IN ('finished', 'cancelled')) = (ended_at IS NOT NULL));
CREATE INDEX grant_job_running ON grant_job (id) WHERE status = 'running';

-- What was ordered is what was approved: only how far it has come may change.
CREATE FUNCTION grant_job_stays_as_ordered() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF (NEW.template_id, NEW.list_id, NEW.segment_id, NEW.per_second, NEW.document, NEW.note, NEW.created_by, NEW.created_at)
       IS DISTINCT FROM (OLD.template_id, OLD.list_id, OLD.segment_id, OLD.per_second, OLD.document, OLD.note, OLD.created_by, OLD.created_at)
       OR (OLD.list_id IS NOT NULL OR OLD.snapshot_id IS NOT NULL)
          AND (NEW.recipients, NEW.snapshot_id) IS DISTINCT FROM (OLD.recipients, OLD.snapshot_id)
       OR OLD.approved_by IS NOT NULL AND NEW.approved_by IS DISTINCT FROM OLD.approved_by
       OR NEW.position < OLD.position OR NEW.owed < OLD.owed
       OR OLD.status IN ('finished', 'cancelled') AND NEW.status <> OLD.status THEN
        RAISE EXCEPTION 'grant job % stays as it was ordered', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER grant_job_stays_as_ordered BEFORE UPDATE ON grant_job
    FOR EACH ROW EXECUTE FUNCTION grant_job_stays_as_ordered();

ALTER TABLE coupon_grant
    ADD CONSTRAINT coupon_grant_status_known CHECK (status IN ('pending', 'posted', 'refused')),
    ADD CONSTRAINT coupon_grant_named CHECK (source ~ '^[a-z_]+$' AND length(btrim(source_id)) > 0),
    ADD CONSTRAINT coupon_grant_of_job CHECK ((job_id IS NOT NULL) = (source = 'job')),
    ADD CONSTRAINT coupon_grant_settled CHECK ((status = 'pending') = (settled_at IS NULL)),
    ADD CONSTRAINT coupon_grant_why CHECK (status <> 'refused' OR reason <> '');
-- The worker looks here several times a second; the index holds only what is under way.
CREATE INDEX coupon_grant_due ON coupon_grant (due_at, id) WHERE status = 'pending';
CREATE INDEX coupon_grant_refused ON coupon_grant (job_id, id) WHERE status = 'refused';

-- A grant is settled once, and is of whom and for what it was when it was owed.
CREATE FUNCTION coupon_grant_settles_once() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF OLD.status <> 'pending' OR (NEW.source, NEW.source_id, NEW.resident_id, NEW.template_id, NEW.vault_id, NEW.job_id)
       IS DISTINCT FROM (OLD.source, OLD.source_id, OLD.resident_id, OLD.template_id, OLD.vault_id, OLD.job_id) THEN
        RAISE EXCEPTION 'grant % stands', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER coupon_grant_settles_once BEFORE UPDATE ON coupon_grant
    FOR EACH ROW EXECUTE FUNCTION coupon_grant_settles_once();
