DROP TABLE dry_run_person;

ALTER TABLE dry_run
    DROP CONSTRAINT dry_run_days,
    DROP CONSTRAINT dry_run_status_known,
    DROP CONSTRAINT dry_run_finished,
    DROP CONSTRAINT dry_run_place;
