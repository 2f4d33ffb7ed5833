-- Notices: what the tables themselves promise.
ALTER TABLE notice
    ADD CONSTRAINT notice_kind_known CHECK (kind IN ('points_expiring', 'coupon_expiring')),
    ADD CONSTRAINT notice_filled CHECK (length(btrim(subject)) > 0 AND length(btrim(title)) > 0 AND length(btrim(body)) > 0),
    ADD CONSTRAINT notice_points CHECK ((kind = 'points_expiring') = (points IS NOT NULL) AND points > 0),
    ADD CONSTRAINT notice_lead CHECK (lead_days BETWEEN 0 AND 366),
    ADD CONSTRAINT notice_read_later CHECK (read_at >= created_at),
    ADD CONSTRAINT notice_push_known CHECK (push IN
        ('none', 'due', 'sending', 'sent', 'no_grant', 'refused', 'unknown', 'late')),
    ADD CONSTRAINT notice_push_when CHECK ((push = 'none') = (push_at IS NULL)),
    ADD CONSTRAINT notice_push_to CHECK (push NOT IN ('sending', 'sent', 'unknown') OR identity_id IS NOT NULL),
    ADD CONSTRAINT notice_attempts CHECK (attempts >= 0);
-- What is still to be sent is little beside what was ever told.
CREATE INDEX notice_push_open ON notice (push_at) WHERE push IN ('due', 'sending');

ALTER TABLE notice_grant
    ADD CONSTRAINT notice_grant_balance CHECK (balance BETWEEN 0 AND 100),
    ADD CONSTRAINT notice_grant_template CHECK (length(btrim(template_id)) > 0);

-- What was told stays as it was told, and a message that went out, or may have gone out, never goes out again.
CREATE FUNCTION notice_fixed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    course constant text[] := ARRAY['read_at', 'push', 'push_at', 'attempts', 'identity_id'];
BEGIN
    IF to_jsonb(NEW) - course <> to_jsonb(OLD) - course
       OR (OLD.read_at IS NOT NULL AND NEW.read_at IS DISTINCT FROM OLD.read_at)
       OR (OLD.push NOT IN ('due', 'sending') AND NEW.push <> OLD.push) THEN
        RAISE EXCEPTION 'notice % cannot be changed', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER notice_fixed BEFORE UPDATE ON notice FOR EACH ROW EXECUTE FUNCTION notice_fixed();
