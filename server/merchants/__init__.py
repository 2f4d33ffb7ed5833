"""Merchants, their stores, the people who work there and the terminals they work with.

    merchant ── store ── terminal (phone, pc, gate, gun)
        └────── staff ──── stores they may work in

Everything that may accept a credential (merchant, store, staff, terminal) is an *acceptor*: the house keeps its status,
the vault an open flag that claim and redeem check in the same call (D26). `acceptors` keeps them in step.
"""
