"""The rules of campaigns: data that says who is given what for what, checked, judged and told in Chinese.

    document ──read──> Rule ──check──> may be saved
                        │
             needs ─────┼───── text
                        v
              Case ──judge──> Decision ──explain, reasons, progress──> Chinese

Pure: no database, no clock, no chance.
"""

from server.incentives.rules.catalogue import FACTS
from server.incentives.rules.check import check, read
from server.incentives.rules.errors import RuleRefused
from server.incentives.rules.forbidden import forbidden
from server.incentives.rules.judge import Case, Decision, Node, Person, judge, speaks_of
from server.incentives.rules.language import Rule
from server.incentives.rules.needs import Mentions, Need, Needs, Tally, mentions, needs
from server.incentives.rules.telling import Steps, Told, barred_by, explain, progress, reasons
from server.incentives.rules.windows import CHINA, Calendar
from server.incentives.rules.wording import NO_NAMES, Names, deed_text, text

__all__ = [
    "CHINA",
    "FACTS",
    "NO_NAMES",
    "Calendar",
    "Case",
    "Decision",
    "Mentions",
    "Names",
    "Need",
    "Needs",
    "Node",
    "Person",
    "Rule",
    "RuleRefused",
    "Steps",
    "Tally",
    "Told",
    "barred_by",
    "check",
    "deed_text",
    "explain",
    "forbidden",
    "judge",
    "mentions",
    "needs",
    "progress",
    "read",
    "reasons",
    "speaks_of",
    "text",
]
