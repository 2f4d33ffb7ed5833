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

CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE ON event
    FOR EACH ROW EXECUTE FUNCTION house_append_only();
CREATE TRIGGER event_no_truncate BEFORE TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION house_append_only();
REVOKE UPDATE, DELETE ON event FROM chengxin_app, chengxin_worker;

CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION house_append_only();
CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION house_append_only();
REVOKE UPDATE, DELETE ON audit_entry FROM chengxin_app, chengxin_worker;

ALTER TABLE audit_entry ADD CONSTRAINT audit_entry_actor_kind_known
    CHECK (actor_kind IN ('admin', 'staff', 'resident', 'system'));
ALTER TABLE event_cursor ADD CONSTRAINT event_cursor_forward CHECK (upto >= txid AND last_id >= 0);
