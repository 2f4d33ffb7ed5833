-- Dry runs: what is written down of people lives as long as the run is under way.
ALTER TABLE dry_run
    ADD CONSTRAINT dry_run_days CHECK (last_day >= first_day AND last_day - first_day < 92),
    ADD CONSTRAINT dry_run_status_known CHECK (status IN ('running', 'done') AND phase IN ('before', 'facts')),
    ADD CONSTRAINT dry_run_finished CHECK ((status = 'done') = (finished_at IS NOT NULL)),
    ADD CONSTRAINT dry_run_place CHECK (position >= 0 AND span > 0);

CREATE TABLE dry_run_person (
    run_id bigint NOT NULL,
    resident_id bigint NOT NULL,
    state jsonb NOT NULL,
    CONSTRAINT dry_run_person_once PRIMARY KEY (run_id, resident_id),
    CONSTRAINT dry_run_person_state CHECK (jsonb_typeof(state) = 'object')
);
