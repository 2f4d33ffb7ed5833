ALTER TABLE daily_pass
    DROP CONSTRAINT daily_pass_finished,
    DROP CONSTRAINT daily_pass_held,
    DROP CONSTRAINT daily_pass_position,
    DROP CONSTRAINT daily_pass_counts;
