-- House-keeping: directory rows 7 days after expiry, scans after 90 days. Bounded per call; returns rows deleted.
CREATE FUNCTION vault.purge(p_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
DECLARE
  v_handles bigint;
  v_scans bigint;
BEGIN
  DELETE FROM vault.credential_handle WHERE handle IN (
    SELECT h.handle FROM vault.credential_handle h WHERE h.expires_at < vault.now() - interval '7 days' LIMIT p_limit);
  GET DIAGNOSTICS v_handles = ROW_COUNT;
  DELETE FROM vault.scan_log WHERE (b, id) IN (
    SELECT s.b, s.id FROM vault.scan_log s WHERE s.at < vault.now() - interval '90 days' LIMIT p_limit);
  GET DIAGNOSTICS v_scans = ROW_COUNT;
  RETURN v_handles + v_scans;
END $$;
