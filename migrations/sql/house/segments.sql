-- Segments: a snapshot is written once, sealed, and then neither grows, shrinks nor changes until its time is over.
ALTER TABLE segment
    ADD CONSTRAINT segment_named CHECK (length(btrim(name)) > 0),
    ADD CONSTRAINT segment_definition CHECK (jsonb_typeof(definition) = 'object'
        AND definition - ARRAY['bands', 'towns', 'interests', 'enrolled_from', 'enrolled_until'] = '{}'::jsonb),
    ADD CONSTRAINT segment_revision CHECK (revision > 0);

ALTER TABLE segment_snapshot
    ADD CONSTRAINT segment_snapshot_used CHECK (length(btrim(used_for)) > 0),
    ADD CONSTRAINT segment_snapshot_counts CHECK (position >= 0 AND size >= 0),
    ADD CONSTRAINT segment_snapshot_sealed CHECK ((sealed_at IS NULL) = (digest = '')),
    ADD CONSTRAINT segment_snapshot_purged CHECK (purged_at IS NULL OR purged_at >= keep_until);

CREATE TABLE segment_member (
    snapshot_id bigint NOT NULL,
    resident_id bigint NOT NULL,
    CONSTRAINT segment_member_once PRIMARY KEY (snapshot_id, resident_id)
);

CREATE FUNCTION segment_snapshot_fixed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    filling constant text[] := ARRAY['position', 'size', 'digest', 'sealed_at', 'purged_at'];
BEGIN
    IF TG_OP = 'DELETE' OR OLD.purged_at IS NOT NULL
       OR to_jsonb(NEW) - filling <> to_jsonb(OLD) - filling
       OR (OLD.sealed_at IS NOT NULL AND to_jsonb(NEW) - 'purged_at' <> to_jsonb(OLD) - 'purged_at')
       OR NEW.position < OLD.position OR NEW.size < OLD.size THEN
        RAISE EXCEPTION 'segment_snapshot % is fixed', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER segment_snapshot_fixed BEFORE UPDATE OR DELETE ON segment_snapshot
    FOR EACH ROW EXECUTE FUNCTION segment_snapshot_fixed();

-- Once a statement, not once a row (as a foreign key would): a snapshot has as many rows as the city has people.
CREATE FUNCTION segment_member_added() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM (SELECT DISTINCT a.snapshot_id FROM added a) m
               LEFT JOIN segment_snapshot s ON s.id = m.snapshot_id WHERE s.id IS NULL OR s.sealed_at IS NOT NULL) THEN
        RAISE EXCEPTION 'only a snapshot that is being taken takes anybody in' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER segment_member_added AFTER INSERT ON segment_member REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION segment_member_added();

CREATE FUNCTION segment_member_removed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM segment_snapshot s WHERE s.keep_until > vault.now()
               AND s.id IN (SELECT DISTINCT m.snapshot_id FROM removed m)) THEN
        RAISE EXCEPTION 'a snapshot is still kept' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER segment_member_removed AFTER DELETE ON segment_member REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION segment_member_removed();

CREATE TRIGGER segment_member_never_changes BEFORE UPDATE ON segment_member
    FOR EACH STATEMENT EXECUTE FUNCTION house_append_only();
CREATE TRIGGER segment_member_no_truncate BEFORE TRUNCATE ON segment_member
    FOR EACH STATEMENT EXECUTE FUNCTION house_append_only();
REVOKE UPDATE ON segment_member FROM chengxin_app, chengxin_worker;
