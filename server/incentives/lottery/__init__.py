"""Lotteries that anybody can draw again: a secret is committed to before, the list of entries is fixed before the draw,
and what was published afterwards is enough to repeat it (guard rail 28; docs/lottery.md)."""
