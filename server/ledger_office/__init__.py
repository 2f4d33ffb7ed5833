"""The ledger office: what administrators do to one resident's wallet, and what they may look at.

    request ──> pending ──approve (2nd person)──> approved ──worker, vault.adjust──> posted | refused
                   └────reject (2nd person)────> rejected

Freezes, refunds and voided coupons need one person and go to the vault at once; each is in the audit trail before it is
in the vault. A look at a wallet states its purpose and is in the audit trail before it is answered.
"""
