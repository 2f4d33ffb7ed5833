DROP TRIGGER voucher_export_fixed ON voucher_export;
DROP FUNCTION voucher_export_fixed();
ALTER TABLE voucher_export
    DROP CONSTRAINT voucher_export_reason,
    DROP CONSTRAINT voucher_export_two_people,
    DROP CONSTRAINT voucher_export_opened;

DROP TRIGGER voucher_code_fixed ON voucher_code;
DROP FUNCTION voucher_code_fixed();
DROP INDEX voucher_code_used;
DROP INDEX voucher_code_free;
DROP INDEX voucher_code_of_coupon;
DROP INDEX voucher_code_once;
ALTER TABLE voucher_code
    DROP CONSTRAINT voucher_code_hashed,
    DROP CONSTRAINT voucher_code_claimed,
    DROP CONSTRAINT voucher_code_shown;

DROP TRIGGER voucher_batch_fixed ON voucher_batch;
DROP FUNCTION voucher_batch_fixed();
ALTER TABLE voucher_batch
    DROP CONSTRAINT voucher_batch_mode_known,
    DROP CONSTRAINT voucher_batch_status_known,
    DROP CONSTRAINT voucher_batch_two_people,
    DROP CONSTRAINT voucher_batch_document,
    DROP CONSTRAINT voucher_batch_secret,
    DROP CONSTRAINT voucher_batch_counts,
    DROP CONSTRAINT voucher_batch_whole;
