DROP TRIGGER coupon_grant_settles_once ON coupon_grant;
DROP FUNCTION coupon_grant_settles_once();
DROP INDEX coupon_grant_refused;
DROP INDEX coupon_grant_due;
ALTER TABLE coupon_grant
    DROP CONSTRAINT coupon_grant_status_known,
    DROP CONSTRAINT coupon_grant_named,
    DROP CONSTRAINT coupon_grant_of_job,
    DROP CONSTRAINT coupon_grant_settled,
    DROP CONSTRAINT coupon_grant_why;

DROP TRIGGER grant_job_stays_as_ordered ON grant_job;
DROP FUNCTION grant_job_stays_as_ordered();
DROP INDEX grant_job_running;
ALTER TABLE grant_job
    DROP CONSTRAINT grant_job_status_known,
    DROP CONSTRAINT grant_job_two_people,
    DROP CONSTRAINT grant_job_of_whom,
    DROP CONSTRAINT grant_job_document,
    DROP CONSTRAINT grant_job_rate,
    DROP CONSTRAINT grant_job_counts,
    DROP CONSTRAINT grant_job_ended_when;

ALTER TABLE recipient_list
    DROP CONSTRAINT recipient_list_status_known,
    DROP CONSTRAINT recipient_list_named,
    DROP CONSTRAINT recipient_list_counts;
