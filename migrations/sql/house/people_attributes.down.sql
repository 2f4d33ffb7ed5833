DROP TRIGGER resident_choice_fixed ON resident_choice;
DROP FUNCTION resident_choice_fixed();
DROP INDEX resident_choice_now;
ALTER TABLE resident_choice
    DROP CONSTRAINT resident_choice_version,
    DROP CONSTRAINT resident_choice_interests,
    DROP CONSTRAINT resident_choice_forward;

DROP TRIGGER resident_attribute_fixed ON resident_attribute;
DROP FUNCTION resident_attribute_fixed();
DROP INDEX resident_attribute_now;
ALTER TABLE resident_attribute
    DROP CONSTRAINT resident_attribute_kind,
    DROP CONSTRAINT resident_attribute_filled,
    DROP CONSTRAINT resident_attribute_forward;

DROP TABLE attribute_line;

ALTER TABLE attribute_batch
    DROP CONSTRAINT attribute_batch_source,
    DROP CONSTRAINT attribute_batch_tells,
    DROP CONSTRAINT attribute_batch_counts;

ALTER TABLE merchant_category DROP CONSTRAINT merchant_category_code, DROP CONSTRAINT merchant_category_named;
ALTER TABLE interest DROP CONSTRAINT interest_code, DROP CONSTRAINT interest_named;
ALTER TABLE town DROP CONSTRAINT town_named;

DROP TRIGGER band_scale_no_truncate ON band_scale;
DROP TRIGGER band_scale_append_only ON band_scale;
ALTER TABLE band_scale
    DROP CONSTRAINT band_scale_version,
    DROP CONSTRAINT band_scale_rank,
    DROP CONSTRAINT band_scale_named;
