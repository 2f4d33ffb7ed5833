DROP TRIGGER adjustment_fixed ON adjustment;
DROP FUNCTION adjustment_fixed();

DROP INDEX adjustment_due;
ALTER TABLE adjustment
    DROP CONSTRAINT adjustment_status_known,
    DROP CONSTRAINT adjustment_points,
    DROP CONSTRAINT adjustment_validity,
    DROP CONSTRAINT adjustment_filled,
    DROP CONSTRAINT adjustment_two_people,
    DROP CONSTRAINT adjustment_decided_when,
    DROP CONSTRAINT adjustment_rejected_why,
    DROP CONSTRAINT adjustment_named,
    DROP CONSTRAINT adjustment_due_when,
    DROP CONSTRAINT adjustment_settled_when,
    DROP CONSTRAINT adjustment_answered;
