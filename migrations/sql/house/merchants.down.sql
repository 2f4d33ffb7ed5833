DROP INDEX enrolment_code_once;
ALTER TABLE enrolment_code
    DROP CONSTRAINT enrolment_hash_size,
    DROP CONSTRAINT enrolment_expires_later;

DROP INDEX invitation_code_once;
ALTER TABLE invitation
    DROP CONSTRAINT invitation_role_known,
    DROP CONSTRAINT invitation_hash_size,
    DROP CONSTRAINT invitation_cashier_has_store,
    DROP CONSTRAINT invitation_owner_everywhere,
    DROP CONSTRAINT invitation_used_by,
    DROP CONSTRAINT invitation_expires_later,
    DROP CONSTRAINT invitation_store_same_merchant,
    DROP CONSTRAINT invitation_inviter_known,
    DROP CONSTRAINT invitation_user_known;

DROP INDEX terminal_secret_once;
DROP INDEX terminal_phone_once;
ALTER TABLE terminal
    DROP CONSTRAINT terminal_kind_known,
    DROP CONSTRAINT terminal_status_known,
    DROP CONSTRAINT terminal_phone_has_staff,
    DROP CONSTRAINT terminal_secret_when_enrolled,
    DROP CONSTRAINT terminal_revoked_when,
    DROP CONSTRAINT terminal_version_positive,
    DROP CONSTRAINT terminal_store_same_merchant,
    DROP CONSTRAINT terminal_staff_same_merchant;

DROP INDEX staff_active_once;
ALTER TABLE staff_member
    DROP CONSTRAINT staff_role_known,
    DROP CONSTRAINT staff_status_known,
    DROP CONSTRAINT staff_revoked_when,
    DROP CONSTRAINT staff_owner_everywhere,
    DROP CONSTRAINT staff_version_positive,
    DROP CONSTRAINT staff_of_merchant,
    DROP CONSTRAINT staff_identity_known;

ALTER TABLE store
    DROP CONSTRAINT store_status_known,
    DROP CONSTRAINT store_name_filled,
    DROP CONSTRAINT store_version_positive,
    DROP CONSTRAINT store_of_merchant;

ALTER TABLE merchant
    DROP CONSTRAINT merchant_status_known,
    DROP CONSTRAINT merchant_name_filled,
    DROP CONSTRAINT merchant_licence_shaped,
    DROP CONSTRAINT merchant_category_known,
    DROP CONSTRAINT merchant_version_positive;
