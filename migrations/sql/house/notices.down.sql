DROP TRIGGER notice_fixed ON notice;
DROP FUNCTION notice_fixed();

ALTER TABLE notice_grant
    DROP CONSTRAINT notice_grant_template,
    DROP CONSTRAINT notice_grant_balance;

DROP INDEX notice_push_open;
ALTER TABLE notice
    DROP CONSTRAINT notice_attempts,
    DROP CONSTRAINT notice_push_to,
    DROP CONSTRAINT notice_push_when,
    DROP CONSTRAINT notice_push_known,
    DROP CONSTRAINT notice_read_later,
    DROP CONSTRAINT notice_lead,
    DROP CONSTRAINT notice_points,
    DROP CONSTRAINT notice_filled,
    DROP CONSTRAINT notice_kind_known;
