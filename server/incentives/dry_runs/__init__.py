"""What a campaign would have cost: a version's rule and limits held against facts of past days, giving nothing.

    order ──> DryRun ──page by page, in the request while it is short, else by a job──> done: totals, days, what was cut

meter    pure: limits and budgets as they would have counted
runs     the pages: facts judged, met with the meter, kept
reading  what may be told of it
"""
