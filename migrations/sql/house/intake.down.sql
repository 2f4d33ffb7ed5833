DROP TRIGGER fact_line_stays ON fact_line;
DROP FUNCTION fact_line_stays();
DROP INDEX fact_line_in_order;
ALTER TABLE fact_line
    DROP CONSTRAINT fact_line_named,
    DROP CONSTRAINT fact_line_attributes;

DROP TRIGGER fact_batch_stays_as_written ON fact_batch;
DROP FUNCTION fact_batch_stays_as_written();
DROP INDEX fact_batch_open;
ALTER TABLE fact_batch
    DROP CONSTRAINT fact_batch_status_known,
    DROP CONSTRAINT fact_batch_filled,
    DROP CONSTRAINT fact_batch_named,
    DROP CONSTRAINT fact_batch_list,
    DROP CONSTRAINT fact_batch_counts,
    DROP CONSTRAINT fact_batch_two_people,
    DROP CONSTRAINT fact_batch_ended_when;
