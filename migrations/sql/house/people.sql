-- The people room: what no code may get wrong, whoever writes the row.

CREATE UNIQUE INDEX resident_one_per_person ON resident (id_number_hmac);
-- The worker looks here every few seconds; the index holds only the few whose codes are still to be killed.
CREATE INDEX resident_epoch_due ON resident (epoch_due_at) WHERE epoch_due_at IS NOT NULL;
ALTER TABLE resident
  ADD CONSTRAINT resident_hmac_length CHECK (octet_length(id_number_hmac) = 32),
  ADD CONSTRAINT resident_sealed CHECK (octet_length(id_number_sealed) > 32 AND octet_length(name_sealed) > 32);

CREATE UNIQUE INDEX identity_one_per_subject ON identity (provider, subject_hmac);
ALTER TABLE identity
  ADD CONSTRAINT identity_hmac_length CHECK (octet_length(subject_hmac) = 32),
  ADD CONSTRAINT identity_phone_whole CHECK (num_nulls(phone_sealed, phone_hmac) IN (0, 2)),
  ADD CONSTRAINT identity_bound_whole CHECK (num_nulls(resident_id, bound_at) IN (0, 2));

-- An identity is attached once: no statement moves an openid from one person to another.
CREATE FUNCTION identity_stays_attached() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF OLD.resident_id IS NOT NULL AND NEW.resident_id IS DISTINCT FROM OLD.resident_id THEN
    RAISE EXCEPTION 'identity % is attached to its resident for good', OLD.id USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER identity_stays_attached BEFORE UPDATE ON identity
  FOR EACH ROW EXECUTE FUNCTION identity_stays_attached();

ALTER TABLE session
  ADD CONSTRAINT session_owner CHECK (CASE aud
    WHEN 'resident' THEN identity_id IS NOT NULL AND num_nonnulls(administrator_id, staff_id, terminal_id) = 0
    WHEN 'merchant' THEN identity_id IS NOT NULL AND staff_id IS NOT NULL AND administrator_id IS NULL
    WHEN 'terminal' THEN terminal_id IS NOT NULL AND num_nonnulls(identity_id, administrator_id, staff_id) = 0
    WHEN 'admin' THEN administrator_id IS NOT NULL AND num_nonnulls(identity_id, staff_id, terminal_id) = 0
    ELSE false END),
  ADD CONSTRAINT session_salt_length CHECK (octet_length(salt) = 32),
  ADD CONSTRAINT session_generation CHECK (generation >= 0 AND (generation = 0 OR rotated_at IS NOT NULL)),
  ADD CONSTRAINT session_life CHECK (expires_at > created_at),
  ADD CONSTRAINT session_revoked_whole CHECK (num_nulls(revoked_at, revoked_why) IN (0, 2));

-- A revoked family stays revoked.
CREATE FUNCTION session_stays_revoked() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF OLD.revoked_at IS NOT NULL AND (NEW.revoked_at IS NULL OR NEW.generation <> OLD.generation) THEN
    RAISE EXCEPTION 'session % is revoked for good', OLD.id USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER session_stays_revoked BEFORE UPDATE ON session
  FOR EACH ROW EXECUTE FUNCTION session_stays_revoked();

ALTER TABLE administrator
  ADD CONSTRAINT administrator_username CHECK (username ~ '^[a-z][a-z0-9._-]{2,31}$'),
  ADD CONSTRAINT administrator_argon2 CHECK (password_hash LIKE '$argon2id$%'),
  ADD CONSTRAINT administrator_roles CHECK (jsonb_typeof(roles) = 'array');

-- A one-time step is used up for good (D35).
CREATE FUNCTION administrator_step_grows() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF OLD.last_totp_step IS NOT NULL AND (NEW.last_totp_step IS NULL OR NEW.last_totp_step < OLD.last_totp_step) THEN
    RAISE EXCEPTION 'administrator %: a used one-time step cannot be given back', OLD.id USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER administrator_step_grows BEFORE UPDATE ON administrator
  FOR EACH ROW EXECUTE FUNCTION administrator_step_grows();

CREATE UNIQUE INDEX login_lock_subject ON login_lock (scope, subject_hmac);
ALTER TABLE login_lock
  ADD CONSTRAINT login_lock_scope CHECK (scope IN ('account', 'ip', 'identity')),
  ADD CONSTRAINT login_lock_failures CHECK (failures >= 0);
