"""A realistic year of the sample city: campaigns of many kinds, made by two administrators over HTTP, lived by
residents and shops over HTTP on a clock that is moved from day to day, and reconciled at its end to the fen and the
point.

    plan ──> offers (console) ──> story (phones, counters) ──> books: ledger and budget views
     └─────> promises and worth, told by Python alone ──> account ──────── reconcile ┘
"""
