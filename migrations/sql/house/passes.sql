-- Daily passes: counts only grow, and whoever holds one says until when.
ALTER TABLE daily_pass
    ADD CONSTRAINT daily_pass_counts CHECK (seen >= 0 AND done >= 0 AND failed >= 0 AND amount >= 0),
    ADD CONSTRAINT daily_pass_position CHECK (jsonb_typeof(position) = 'array'),
    ADD CONSTRAINT daily_pass_held CHECK (holder IS NULL OR held_until IS NOT NULL),
    ADD CONSTRAINT daily_pass_finished CHECK (finished_at IS NULL OR (finished_at >= started_at AND position IS NULL));
