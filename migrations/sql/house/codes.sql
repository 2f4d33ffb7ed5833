-- Voucher codes: what the tables themselves promise.
ALTER TABLE voucher_batch
    ADD CONSTRAINT voucher_batch_mode_known CHECK (mode IN ('platform', 'uploaded', 'external')),
    ADD CONSTRAINT voucher_batch_status_known CHECK (status IN ('making', 'made', 'ready', 'stopped')),
    ADD CONSTRAINT voucher_batch_two_people CHECK (CASE WHEN approved_by IS NULL THEN status <> 'ready'
        ELSE approved_by <> created_by AND approved_at IS NOT NULL END),
    ADD CONSTRAINT voucher_batch_document CHECK (length(btrim(document)) > 0),
    ADD CONSTRAINT voucher_batch_secret CHECK ((mode = 'platform') = (secret_sealed IS NOT NULL)),
    ADD CONSTRAINT voucher_batch_counts CHECK (wanted BETWEEN 0 AND 1000000 AND made BETWEEN 0 AND 1000000 AND next_ordinal > 0),
    ADD CONSTRAINT voucher_batch_whole CHECK (status NOT IN ('made', 'ready') OR (made = wanted AND made > 0));

-- What was approved stays: codes are neither added nor made again.
CREATE FUNCTION voucher_batch_fixed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF (NEW.template_id, NEW.mode, NEW.prefix, NEW.secret_sealed, NEW.beyond_stock, NEW.created_at) IS DISTINCT FROM
       (OLD.template_id, OLD.mode, OLD.prefix, OLD.secret_sealed, OLD.beyond_stock, OLD.created_at)
       OR OLD.status <> 'making' AND (NEW.wanted, NEW.made, NEW.created_by) IS DISTINCT FROM (OLD.wanted, OLD.made, OLD.created_by)
       OR OLD.approved_by IS NOT NULL AND NEW.approved_by IS DISTINCT FROM OLD.approved_by
       OR OLD.status = 'stopped' AND NEW.status <> 'stopped' THEN
        RAISE EXCEPTION 'voucher batch % stays as it is', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER voucher_batch_fixed BEFORE UPDATE ON voucher_batch FOR EACH ROW EXECUTE FUNCTION voucher_batch_fixed();

ALTER TABLE voucher_code
    ADD CONSTRAINT voucher_code_hashed CHECK (octet_length(code_hash) = 32),
    ADD CONSTRAINT voucher_code_claimed CHECK ((resident_id IS NULL) = (claimed_at IS NULL)),
    ADD CONSTRAINT voucher_code_shown CHECK (coupon_id IS NULL OR (resident_id IS NOT NULL AND code_sealed IS NOT NULL));
CREATE UNIQUE INDEX voucher_code_once ON voucher_code (code_hash);
CREATE UNIQUE INDEX voucher_code_of_coupon ON voucher_code (coupon_id) WHERE coupon_id IS NOT NULL;
CREATE INDEX voucher_code_free ON voucher_code (batch_id, id) WHERE code_sealed IS NOT NULL AND coupon_id IS NULL;
CREATE INDEX voucher_code_used ON voucher_code (batch_id) WHERE resident_id IS NOT NULL;

-- A code is what it was made as; a third party's code that was shown to somebody is his.
CREATE FUNCTION voucher_code_fixed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF (NEW.batch_id, NEW.ordinal, NEW.code_hash, NEW.code_sealed) IS DISTINCT FROM (OLD.batch_id, OLD.ordinal, OLD.code_hash, OLD.code_sealed)
       OR OLD.coupon_id IS NOT NULL AND (NEW.coupon_id, NEW.resident_id) IS DISTINCT FROM (OLD.coupon_id, OLD.resident_id)
       OR OLD.resident_id IS NOT NULL AND NEW.resident_id IS NOT NULL AND NEW.resident_id <> OLD.resident_id THEN
        RAISE EXCEPTION 'voucher code % stays as it is', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER voucher_code_fixed BEFORE UPDATE ON voucher_code FOR EACH ROW EXECUTE FUNCTION voucher_code_fixed();

-- Codes leave the house in a file by two people (G31), once.
ALTER TABLE voucher_export
    ADD CONSTRAINT voucher_export_reason CHECK (length(btrim(reason)) > 0),
    ADD CONSTRAINT voucher_export_two_people CHECK ((approved_by IS NULL) = (approved_at IS NULL) AND approved_by <> requested_by),
    ADD CONSTRAINT voucher_export_opened CHECK (opened_at IS NULL OR approved_at IS NOT NULL);
CREATE FUNCTION voucher_export_fixed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF (NEW.batch_id, NEW.reason, NEW.requested_by, NEW.requested_at) IS DISTINCT FROM (OLD.batch_id, OLD.reason, OLD.requested_by, OLD.requested_at)
       OR OLD.approved_by IS NOT NULL AND NEW.approved_by IS DISTINCT FROM OLD.approved_by OR OLD.opened_at IS NOT NULL THEN
        RAISE EXCEPTION 'voucher export % stays as it is', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER voucher_export_fixed BEFORE UPDATE ON voucher_export FOR EACH ROW EXECUTE FUNCTION voucher_export_fixed();
