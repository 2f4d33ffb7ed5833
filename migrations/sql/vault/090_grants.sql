-- Who may call what. `chengxin_app` serves HTTP, `chengxin_worker` runs jobs and check-ledger; both read, neither writes a table.
--
--   function            app  worker      function              app  worker
--   post_batch           x     -         post_internal          -     x
--   open_wallet          x     x         create_budget          x     x
--   set_budget_open      x     x         put_budget_entry       x     x
--   rebalance            x     x         put_earn_terms         x     x
--   put_coupon_terms     x     x         set_acceptor           x     x
--   issue_credentials    x     -         burn_credential        x     -
--   bump_epoch           x     x         ensure_partitions      -     x
--   purge                -     x         now, today, zone       x     x
--   seal_next            -     x         seal_head_next         -     x
--   note_proof           -     x
--   fold_next            -     x         cell                   x     x
--   open_counter         x     x         period_start           x     x
--   put_calendar_year    -     x         usable_next            x     x

REVOKE ALL ON SCHEMA vault FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA vault FROM PUBLIC;
GRANT USAGE ON SCHEMA vault TO chengxin_app, chengxin_worker;
GRANT SELECT ON ALL TABLES IN SCHEMA vault TO chengxin_app, chengxin_worker;
GRANT EXECUTE ON FUNCTION
  vault.open_wallet, vault.create_budget, vault.open_counter, vault.set_budget_open, vault.put_budget_entry, vault.rebalance, vault.put_earn_terms,
  vault.put_coupon_terms, vault.set_acceptor, vault.now, vault.today, vault.zone, vault.cell, vault.lots_ok, vault.id_time, vault.id_version
  TO chengxin_app, chengxin_worker;
GRANT EXECUTE ON FUNCTION vault.usable_next, vault.period_start TO chengxin_app, chengxin_worker;
GRANT EXECUTE ON FUNCTION vault.put_calendar_year TO chengxin_worker;
GRANT EXECUTE ON FUNCTION vault.bump_epoch TO chengxin_app, chengxin_worker;
GRANT EXECUTE ON FUNCTION vault.post_batch, vault.issue_credentials, vault.burn_credential TO chengxin_app;
GRANT EXECUTE ON FUNCTION vault.post_internal, vault.ensure_partitions, vault.purge TO chengxin_worker;
GRANT EXECUTE ON FUNCTION vault.fold_next TO chengxin_worker;
GRANT EXECUTE ON FUNCTION vault.seal_next, vault.seal_head_next, vault.note_proof TO chengxin_worker;
