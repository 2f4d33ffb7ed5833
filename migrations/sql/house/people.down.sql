ALTER TABLE login_lock DROP CONSTRAINT login_lock_failures, DROP CONSTRAINT login_lock_scope;
DROP INDEX login_lock_subject;

DROP TRIGGER administrator_step_grows ON administrator;
DROP FUNCTION administrator_step_grows();
ALTER TABLE administrator
  DROP CONSTRAINT administrator_roles, DROP CONSTRAINT administrator_argon2, DROP CONSTRAINT administrator_username;

DROP TRIGGER session_stays_revoked ON session;
DROP FUNCTION session_stays_revoked();
ALTER TABLE session
  DROP CONSTRAINT session_revoked_whole, DROP CONSTRAINT session_life, DROP CONSTRAINT session_generation,
  DROP CONSTRAINT session_salt_length, DROP CONSTRAINT session_owner;

DROP TRIGGER identity_stays_attached ON identity;
DROP FUNCTION identity_stays_attached();
ALTER TABLE identity
  DROP CONSTRAINT identity_bound_whole, DROP CONSTRAINT identity_phone_whole, DROP CONSTRAINT identity_hmac_length;
DROP INDEX identity_one_per_subject;

ALTER TABLE resident DROP CONSTRAINT resident_sealed, DROP CONSTRAINT resident_hmac_length;
DROP INDEX resident_epoch_due;
DROP INDEX resident_one_per_person;
