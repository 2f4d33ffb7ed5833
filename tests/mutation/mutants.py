"""Mutants of a module: the same source with one small thing wrong.

Comparisons, arithmetic, constants, and/or/not, conditions, returned values, and what a request's hash is made of. Left
alone: annotations, decorators, texts, and lines for the log, as nobody's value hangs on them; and numbers that only say
how long to be patient or how many go together: constants named in `PATIENCE`, defaults of keyword parameters, timeouts.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

Path = tuple[tuple[str, int | None], ...]

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.BitXor: ast.BitAnd, ast.Pow: ast.Mult,
}  # fmt: skip
#: Calls whose positional arguments from the fifth (third) on are a request's meaning (D22): each is forgotten once.
MEANINGS = {"_item": 4, "_on_coupon": 5, "intent_hash": 2}
LEFT_ALONE = {"annotation", "returns", "decorator_list", "type_params", "kw_defaults"}
PATIENCE = {
    "RECONNECT_PAUSES_S", "HURRIED_LOCK_TIMEOUT_MS", "HURRY_S", "MAX_RETRY_AFTER_S", "REMEMBERED", "NEWEST",
    "LOCK_TIMEOUT_MS", "STATEMENT_TIMEOUT_MS", "MOST_ROWS", "JOB_ROWS", "SEAL_TIMEOUT_S",
}  # fmt: skip
TIMEOUTS = {"timeout", "command_timeout", "min_size"}


@dataclass(frozen=True)
class Mutant:
    """One thing wrong: where, and what was written for what. `name` stays the same when lines move."""

    module: str
    function: str
    line: int
    before: str
    after: str
    turn: int
    path: Path
    wrong: ast.AST

    @property
    def name(self) -> str:
        return f"{self.module}:{self.function}: {self.before} -> {self.after}" + (f" #{self.turn}" * (self.turn > 1))

    def tree(self, source: str) -> ast.Module:
        """The module with this one thing wrong."""
        tree = ast.parse(source)
        node: ast.AST = tree
        *way, (field, place) = self.path
        for name, number in way:
            value = getattr(node, name)
            node = value if number is None else value[number]
        if place is None:
            setattr(node, field, self.wrong)
        else:
            getattr(node, field)[place] = self.wrong
        return ast.fix_missing_locations(tree)


def mutants(module: str, source: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines."""
    made: list[Mutant] = []
    turns: dict[tuple[str, str, str], int] = {}
    for path, function, node in _walk(ast.parse(source), (), "module"):
        for wrong in _wrongs(node):
            key = (function, _text(node), _text(wrong))
            turns[key] = turns.get(key, 0) + 1
            line = getattr(node, "lineno", 0)
            made.append(Mutant(module, function, line, key[1], key[2], turns[key], path, wrong))
    return made


def _text(node: ast.AST) -> str:
    text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(node)))
    return " ".join(text.split())


def _walk(node: ast.AST, path: Path, function: str) -> Iterator[tuple[Path, str, ast.AST]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        function = node.name if function == "module" else f"{function}.{node.name}"
    if isinstance(node, ast.JoinedStr) or _is_log(node) or _is_for_types(node) or _is_patience(node):
        return
    if path:
        yield path, function, node
    for field, value in ast.iter_fields(node):
        if field in LEFT_ALONE:
            continue
        if isinstance(value, ast.AST):
            yield from _walk(value, (*path, (field, None)), function)
        elif isinstance(value, list):
            for number, one in enumerate(value):
                if isinstance(one, ast.AST):
                    yield from _walk(one, (*path, (field, number)), function)


def _is_log(node: ast.AST) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    of = call.func.value if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) else None
    return isinstance(of, ast.Name) and of.id == "log"


def _is_patience(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg in TIMEOUTS
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return bool(names) and names <= PATIENCE


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _wrongs(node: ast.AST) -> Iterator[ast.AST]:
    wrong = copy.deepcopy(node)
    if isinstance(wrong, ast.Compare) and len(wrong.ops) == 1 and type(wrong.ops[0]) in COMPARISONS:
        wrong.ops = [COMPARISONS[type(wrong.ops[0])]()]
        yield wrong
    elif isinstance(wrong, ast.Compare):
        for number, op in enumerate(wrong.ops):
            other = copy.deepcopy(wrong)
            other.ops[number] = COMPARISONS[type(op)]()
            yield other
    elif isinstance(wrong, ast.BinOp | ast.AugAssign) and type(wrong.op) in ARITHMETIC:
        wrong.op = ARITHMETIC[type(wrong.op)]()
        yield wrong
    elif isinstance(wrong, ast.BoolOp):
        wrong.op = ast.Or() if isinstance(wrong.op, ast.And) else ast.And()
        yield wrong
    elif isinstance(wrong, ast.UnaryOp) and isinstance(wrong.op, ast.Not):
        yield wrong.operand
    elif isinstance(wrong, ast.Constant) and isinstance(wrong.value, bool):
        yield ast.Constant(not wrong.value)
    elif isinstance(wrong, ast.Constant) and isinstance(wrong.value, int | float):
        yield ast.Constant(wrong.value + 1)
    elif isinstance(wrong, ast.If | ast.IfExp | ast.While) and not _is_always(wrong.test):
        wrong.test = ast.UnaryOp(ast.Not(), wrong.test)
        if isinstance(wrong, ast.IfExp) or not isinstance(wrong.test.operand, ast.Compare | ast.UnaryOp | ast.BoolOp):
            yield wrong
    elif isinstance(wrong, ast.Call) and isinstance(wrong.func, ast.Name) and wrong.func.id in MEANINGS:
        for number in range(MEANINGS[wrong.func.id], len(wrong.args)):
            other = copy.deepcopy(wrong)
            del other.args[number]
            yield other
    elif isinstance(wrong, ast.Return) and wrong.value is not None and not _is_none(wrong.value):
        wrong.value = ast.Constant(None)
        yield wrong


def _is_always(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant)


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None
