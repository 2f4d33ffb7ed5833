"""Does a campaign change what people do? A share of those who qualify is held out by lot, and the two groups compared.

assignment   who is held out: by keyed hash, so the same person stays on the same side
uplift       how much more often the others did what the campaign wants, with its interval
"""
