DROP TABLE segment_member;
DROP FUNCTION segment_member_removed();
DROP FUNCTION segment_member_added();

DROP TRIGGER segment_snapshot_fixed ON segment_snapshot;
DROP FUNCTION segment_snapshot_fixed();
ALTER TABLE segment_snapshot
    DROP CONSTRAINT segment_snapshot_used,
    DROP CONSTRAINT segment_snapshot_counts,
    DROP CONSTRAINT segment_snapshot_sealed,
    DROP CONSTRAINT segment_snapshot_purged;

ALTER TABLE segment
    DROP CONSTRAINT segment_named,
    DROP CONSTRAINT segment_definition,
    DROP CONSTRAINT segment_revision;
