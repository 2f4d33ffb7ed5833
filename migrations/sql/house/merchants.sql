-- Merchants' room: what the tables themselves promise.
ALTER TABLE merchant
    ADD CONSTRAINT merchant_status_known CHECK (status IN ('active', 'suspended')),
    ADD CONSTRAINT merchant_name_filled CHECK (length(btrim(name)) > 0),
    ADD CONSTRAINT merchant_licence_shaped CHECK (licence_number IS NULL OR licence_number ~ '^[0-9A-HJ-NPQRTUWXY]{18}$'),
    ADD CONSTRAINT merchant_category_known FOREIGN KEY (category) REFERENCES merchant_category (code),
    ADD CONSTRAINT merchant_version_positive CHECK (version > 0);

ALTER TABLE store
    ADD CONSTRAINT store_status_known CHECK (status IN ('open', 'closed')),
    ADD CONSTRAINT store_name_filled CHECK (length(btrim(name)) > 0 AND length(btrim(town)) > 0),
    ADD CONSTRAINT store_version_positive CHECK (version > 0),
    ADD CONSTRAINT store_of_merchant UNIQUE (id, merchant_id);

ALTER TABLE staff_member
    ADD CONSTRAINT staff_role_known CHECK (role IN ('owner', 'manager', 'cashier', 'auditor')),
    ADD CONSTRAINT staff_status_known CHECK (status IN ('active', 'revoked')),
    ADD CONSTRAINT staff_revoked_when CHECK ((status = 'revoked') = (revoked_at IS NOT NULL)),
    ADD CONSTRAINT staff_owner_everywhere CHECK (role <> 'owner' OR all_stores),
    ADD CONSTRAINT staff_version_positive CHECK (version > 0),
    ADD CONSTRAINT staff_of_merchant UNIQUE (id, merchant_id),
    ADD CONSTRAINT staff_identity_known FOREIGN KEY (identity_id) REFERENCES identity (id);
-- A person works for a merchant once at a time; leaving and coming back makes a new row.
CREATE UNIQUE INDEX staff_active_once ON staff_member (merchant_id, identity_id) WHERE status = 'active';

ALTER TABLE terminal
    ADD CONSTRAINT terminal_kind_known CHECK (kind IN ('phone', 'pc', 'gate', 'gun')),
    ADD CONSTRAINT terminal_status_known CHECK (status IN ('pending', 'active', 'revoked')),
    ADD CONSTRAINT terminal_phone_has_staff CHECK ((kind = 'phone') = (staff_id IS NOT NULL)),
    ADD CONSTRAINT terminal_secret_when_enrolled CHECK (
        CASE WHEN kind = 'phone' THEN secret_hash IS NULL AND status <> 'pending'
             WHEN status = 'pending' THEN secret_hash IS NULL
             WHEN status = 'active' THEN secret_hash IS NOT NULL AND octet_length(secret_hash) = 32
             ELSE true END),
    ADD CONSTRAINT terminal_revoked_when CHECK ((status = 'revoked') = (revoked_at IS NOT NULL)),
    ADD CONSTRAINT terminal_version_positive CHECK (version > 0),
    -- A terminal, its store and its staff member belong to one merchant.
    ADD CONSTRAINT terminal_store_same_merchant FOREIGN KEY (store_id, merchant_id) REFERENCES store (id, merchant_id),
    ADD CONSTRAINT terminal_staff_same_merchant FOREIGN KEY (staff_id, merchant_id) REFERENCES staff_member (id, merchant_id);
CREATE UNIQUE INDEX terminal_phone_once ON terminal (staff_id, store_id) WHERE kind = 'phone' AND status = 'active';
CREATE UNIQUE INDEX terminal_secret_once ON terminal (secret_hash) WHERE secret_hash IS NOT NULL;

ALTER TABLE invitation
    ADD CONSTRAINT invitation_role_known CHECK (role IN ('owner', 'manager', 'cashier', 'auditor')),
    ADD CONSTRAINT invitation_hash_size CHECK (octet_length(code_hash) = 32),
    ADD CONSTRAINT invitation_cashier_has_store CHECK (role <> 'cashier' OR store_id IS NOT NULL),
    ADD CONSTRAINT invitation_owner_everywhere CHECK (role <> 'owner' OR store_id IS NULL),
    ADD CONSTRAINT invitation_used_by CHECK ((used_at IS NULL) = (used_by_staff_id IS NULL)),
    ADD CONSTRAINT invitation_expires_later CHECK (expires_at > created_at),
    ADD CONSTRAINT invitation_store_same_merchant FOREIGN KEY (store_id, merchant_id) REFERENCES store (id, merchant_id),
    ADD CONSTRAINT invitation_inviter_known
        FOREIGN KEY (invited_by_staff_id, merchant_id) REFERENCES staff_member (id, merchant_id),
    ADD CONSTRAINT invitation_user_known FOREIGN KEY (used_by_staff_id, merchant_id) REFERENCES staff_member (id, merchant_id);

CREATE UNIQUE INDEX invitation_code_once ON invitation (code_hash);

ALTER TABLE enrolment_code
    ADD CONSTRAINT enrolment_hash_size CHECK (octet_length(code_hash) = 32),
    ADD CONSTRAINT enrolment_expires_later CHECK (expires_at > created_at);
CREATE UNIQUE INDEX enrolment_code_once ON enrolment_code (code_hash);
