DROP TRIGGER audit_entry_no_truncate ON audit_entry;
DROP TRIGGER audit_entry_append_only ON audit_entry;
DROP TRIGGER event_no_truncate ON event;
DROP TRIGGER event_kept ON event;
DROP FUNCTION house_event_kept();
DROP TRIGGER event_append_only ON event;
DROP FUNCTION house_append_only();
ALTER TABLE audit_entry DROP CONSTRAINT audit_entry_actor_kind_known;
ALTER TABLE event_cursor DROP CONSTRAINT event_cursor_forward, DROP CONSTRAINT event_cursor_position,
    DROP CONSTRAINT event_cursor_leased;
DROP INDEX job_dead;
DROP INDEX job_due;
DROP INDEX job_once;
ALTER TABLE job DROP CONSTRAINT job_status_known, DROP CONSTRAINT job_due_when, DROP CONSTRAINT job_waiting_for,
    DROP CONSTRAINT job_dead_why, DROP CONSTRAINT job_claimed;
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT, INSERT, UPDATE, DELETE ON TABLES FROM chengxin_app, chengxin_worker;
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE USAGE ON SEQUENCES FROM chengxin_app, chengxin_worker;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM chengxin_app, chengxin_worker;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM chengxin_app, chengxin_worker;
