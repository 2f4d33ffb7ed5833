"""Segments: groups of residents by band, town, day of enrolment and own choices; sizes with small cells hidden, and the
members at an instant, written down once.

    segment (definition) ──preview──> sizes by band and town, small cells hidden
         └──snapshot──> segment_snapshot <── segment_member (the members, fixed once sealed, kept for a time)

Band and interest are personal: a segment that asks for either picks only residents who turned personalisation on. Who
did not is picked by town and day of enrolment like everybody else, and sees the same campaigns and the same stock.
"""
