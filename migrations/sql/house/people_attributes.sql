-- Bands, towns and own choices of residents: lists that are data, values with the days they were right, nothing taken back.

ALTER TABLE band_scale
    ADD CONSTRAINT band_scale_version CHECK (version > 0),
    ADD CONSTRAINT band_scale_rank CHECK (rank > 0),
    ADD CONSTRAINT band_scale_named CHECK (length(btrim(code)) > 0 AND length(btrim(name)) > 0);
CREATE TRIGGER band_scale_append_only BEFORE UPDATE OR DELETE ON band_scale
    FOR EACH ROW EXECUTE FUNCTION house_append_only();
CREATE TRIGGER band_scale_no_truncate BEFORE TRUNCATE ON band_scale
    FOR EACH STATEMENT EXECUTE FUNCTION house_append_only();

ALTER TABLE town ADD CONSTRAINT town_named CHECK (length(btrim(name)) > 0);
ALTER TABLE interest
    ADD CONSTRAINT interest_code CHECK (code ~ '^[a-z][a-z0-9_]*$'),
    ADD CONSTRAINT interest_named CHECK (length(btrim(name)) > 0);
ALTER TABLE merchant_category
    ADD CONSTRAINT merchant_category_code CHECK (code ~ '^[^[:space:]]+$'),
    ADD CONSTRAINT merchant_category_named CHECK (length(btrim(name)) > 0);

ALTER TABLE attribute_batch
    ADD CONSTRAINT attribute_batch_source CHECK (length(btrim(source)) > 0),
    ADD CONSTRAINT attribute_batch_tells CHECK (tells_bands OR tells_towns),
    ADD CONSTRAINT attribute_batch_counts CHECK (least(lines, unknown, bands_changed, towns_changed, risen) >= 0);

-- What is read of a file waits here until all of it has been checked: no ID number, only its keyed hash. After a crash of
-- the database the import is begun again, so the table needs no log.
CREATE UNLOGGED TABLE attribute_line (
    batch_id uuid NOT NULL,
    id_number_hmac bytea NOT NULL CONSTRAINT attribute_line_hmac_length CHECK (octet_length(id_number_hmac) = 32),
    band text,
    town text,
    staged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT attribute_line_once PRIMARY KEY (batch_id, id_number_hmac)
);

ALTER TABLE resident_attribute
    ADD CONSTRAINT resident_attribute_kind CHECK (kind IN ('band', 'town')),
    ADD CONSTRAINT resident_attribute_filled CHECK (length(btrim(value)) > 0),
    ADD CONSTRAINT resident_attribute_forward CHECK (until_day >= as_of);
CREATE UNIQUE INDEX resident_attribute_now ON resident_attribute (kind, resident_id) WHERE until_day IS NULL;

-- A value ends once, when another takes its place; what it was and since when stays as it was told.
CREATE FUNCTION resident_attribute_fixed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.until_day IS NOT NULL OR to_jsonb(NEW) - 'until_day' <> to_jsonb(OLD) - 'until_day' THEN
        RAISE EXCEPTION 'resident_attribute % stays as it was told', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER resident_attribute_fixed BEFORE UPDATE OR DELETE ON resident_attribute
    FOR EACH ROW EXECUTE FUNCTION resident_attribute_fixed();

ALTER TABLE resident_choice
    ADD CONSTRAINT resident_choice_version CHECK (version > 0),
    ADD CONSTRAINT resident_choice_interests CHECK (jsonb_typeof(interests) = 'array'),
    ADD CONSTRAINT resident_choice_forward CHECK (until_at >= chosen_at);
CREATE UNIQUE INDEX resident_choice_now ON resident_choice (resident_id) WHERE until_at IS NULL;

CREATE FUNCTION resident_choice_fixed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.until_at IS NOT NULL OR to_jsonb(NEW) - 'until_at' <> to_jsonb(OLD) - 'until_at' THEN
        RAISE EXCEPTION 'resident_choice % stays as it was made', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER resident_choice_fixed BEFORE UPDATE OR DELETE ON resident_choice
    FOR EACH ROW EXECUTE FUNCTION resident_choice_fixed();
