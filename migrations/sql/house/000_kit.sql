-- The house's tables belong to the owner; the two working roles read and write rows and nothing else.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO chengxin_app, chengxin_worker;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO chengxin_app, chengxin_worker;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO chengxin_app, chengxin_worker;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO chengxin_app, chengxin_worker;
REVOKE INSERT, UPDATE, DELETE ON tortoise_migrations FROM chengxin_app, chengxin_worker;

-- Tables that tell what happened are added to and never changed, whoever asks.
CREATE FUNCTION house_append_only() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER event_append_only BEFORE UPDATE ON event
    FOR EACH ROW EXECUTE FUNCTION house_append_only();
CREATE TRIGGER event_no_truncate BEFORE TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION house_append_only();
REVOKE UPDATE, DELETE ON event FROM chengxin_app, chengxin_worker;
GRANT DELETE ON event TO chengxin_worker;

-- An event may go when it is old, every consumer of the house's stream has passed it, and no stumbled job still needs it.
CREATE FUNCTION house_event_kept() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF OLD.occurred_at > clock_timestamp() - interval '30 days'
       OR (OLD.txid < (SELECT min(c.txid) FROM event_cursor c WHERE c.stream = 'house')) IS NOT TRUE
       OR EXISTS (SELECT FROM job j WHERE j.stream = 'house' AND j.payload -> 'at' -> 0 = to_jsonb(OLD.id)) THEN
        RAISE EXCEPTION 'event % is still kept', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER event_kept BEFORE DELETE ON event FOR EACH ROW EXECUTE FUNCTION house_event_kept();

CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION house_append_only();
CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION house_append_only();
REVOKE UPDATE, DELETE ON audit_entry FROM chengxin_app, chengxin_worker;

ALTER TABLE audit_entry ADD CONSTRAINT audit_entry_actor_kind_known
    CHECK (actor_kind IN ('admin', 'staff', 'resident', 'system'));
ALTER TABLE event_cursor
    ADD CONSTRAINT event_cursor_forward CHECK (upto >= txid),
    ADD CONSTRAINT event_cursor_position CHECK (jsonb_typeof(position) = 'array'),
    ADD CONSTRAINT event_cursor_leased CHECK ((lease IS NULL) = (leased_until IS NULL));

-- Jobs, and events that stumbled: only what stumbled can wait behind its key, and a dead one says of what it died.
ALTER TABLE job
    ADD CONSTRAINT job_status_known CHECK (status IN ('due', 'waiting', 'dead')),
    ADD CONSTRAINT job_due_when CHECK ((status = 'due') = (due_at IS NOT NULL)),
    ADD CONSTRAINT job_waiting_for CHECK (status <> 'waiting' OR stream <> ''),
    ADD CONSTRAINT job_dead_why CHECK (status <> 'dead' OR (error <> '' AND last_failed_at IS NOT NULL)),
    ADD CONSTRAINT job_claimed CHECK ((claim IS NULL) = (claimed_until IS NULL) AND (claim IS NULL OR status = 'due'));
CREATE UNIQUE INDEX job_once ON job (kind, key) WHERE stream = '';
CREATE INDEX job_due ON job (due_at) WHERE status = 'due';
CREATE INDEX job_dead ON job (id) WHERE status = 'dead';
