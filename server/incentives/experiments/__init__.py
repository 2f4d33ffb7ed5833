"""Does a campaign change what people do? A share of those who qualify is held out by lot, and the two groups compared.

hold_out     what a version says of it, and where it is not allowed
assignment   who is held out: by keyed hash, so the same person stays on the same side
withholding  what becomes of an award whose resident is held out
uplift       how much more often the others did what the campaign wants, with its interval
report       both groups counted, and what was withheld
"""
