"""The `when` of a rule: names, numbers, comparison, arithmetic, and/or/not; nothing else.

Unknown stays unknown (Kleene logic). NaN never reaches a comparison: it counts as unknown.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from advisor.errors import RuleError

Lookup = Callable[[str], float | None]
_Value = float | bool | None
# A compiled part of a condition: its value under a lookup, and the names that decide it.
_Answer = Callable[[Lookup], tuple[_Value, tuple[str, ...]]]

_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_REFUSED: dict[type[ast.AST], str] = {
    ast.Call: "a call",
    ast.Subscript: "an index",
    ast.Lambda: "a lambda",
    ast.IfExp: "an if expression",
    ast.BitXor: "'^'",
    ast.Pow: "'**'",
    ast.Mod: "'%'",
    ast.FloorDiv: "'//'",
    ast.In: "'in'",
    ast.NotIn: "'not in'",
    ast.Is: "'is'",
    ast.IsNot: "'is not'",
}


@dataclass(frozen=True, slots=True)
class ConditionAnswer:
    """The answer of a condition and the names that decide it.

    These are the names of the true sides of an `or`, of the false sides of an `and`, and for None
    of the sides whose missing names could have changed the answer.
    """

    value: bool | None
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed `when`: its text, its names in order, and the numbers written in it."""

    text: str
    names: tuple[str, ...]
    numbers: tuple[float, ...]
    answer: _Answer

    def evaluate(self, lookup: Lookup) -> bool | None:
        """Return true, false or None for 'cannot be known'."""
        value, _ = self.answer(lookup)
        return None if value is None else bool(value)

    def judge(self, lookup: Lookup) -> ConditionAnswer:
        """Return the answer with the names that decide it."""
        value, names = self.answer(lookup)
        return ConditionAnswer(None if value is None else bool(value), tuple(dict.fromkeys(names)))


def parse(text: str) -> Condition:
    """Parse a condition; RuleError says what is not allowed, and where."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise RuleError(f"'{text}' is not a condition: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise RuleError("the condition cannot be parsed: too deep, or odd characters") from None
    names: list[str] = []
    numbers: list[float] = []
    _check(tree, names, numbers)
    return Condition(text, tuple(dict.fromkeys(names)), tuple(numbers), _compile(tree))


def join(clauses: Sequence[object]) -> str:
    """Return the single expression that a `when` of clauses stands for.

    A list is joined by 'and', the list under `any` by 'or'. RuleError names what is not a clause.
    """
    return " and ".join(f"({_clause(clause)})" for clause in clauses)


def _clause(clause: object) -> str:
    match clause:
        case str() if clause.strip():
            parse(clause)  # alone, so that no bracket spans two clauses
            return clause.strip()
        case [*clauses] if clauses:
            return join(clauses)
        case {"any": [*sides], **rest} if not rest and sides:
            return " or ".join(f"({_clause(side)})" for side in sides)
    raise RuleError(f"{clause!r} is no clause: a condition, a list of them, or any: with a list")


def exchange(text: str, names: Mapping[str, float | str]) -> str:
    """Return the condition with some of its names replaced by other names or by numbers."""
    return ast.unparse(_Exchange(names).visit(ast.parse(text, mode="eval")))


class _Exchange(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, float | str]) -> None:
        self.names = names

    def _replace(self, node: ast.expr) -> ast.expr:
        new = self.names.get(_dotted_name(node))
        return node if new is None else ast.parse(str(new), mode="eval").body

    visit_Name = visit_Attribute = _replace


@dataclass(frozen=True, slots=True)
class Clause:
    """One line of a checklist; `kind` says how `parts` are joined, '' for a plain line."""

    text: str
    kind: Literal["", "all", "any"] = ""
    parts: tuple[Clause, ...] = ()


def clauses(text: str) -> tuple[Clause, ...]:
    """Return the lines that `join` made a condition of, for people to read."""
    whole = _split(ast.parse(text.strip(), mode="eval").body)
    return whole.parts if whole.kind == "all" else (whole,)


def _split(node: ast.expr) -> Clause:
    text = ast.unparse(node)
    if not isinstance(node, ast.BoolOp):
        return Clause(text)
    kind: Literal["all", "any"] = "all" if isinstance(node.op, ast.And) else "any"
    parts = [_split(value) for value in node.values]
    # brackets around a clause repeat what its own joint says
    flat = [inner for part in parts for inner in (part.parts if part.kind == kind else (part,))]
    return Clause(text, kind, tuple(flat))


def _check(node: ast.expr, names: list[str], numbers: list[float]) -> None:
    """Walk the tree and refuse every node that is not in the language."""
    match node:
        case ast.Name() | ast.Attribute():
            names.append(_dotted_name(node))
        case ast.Constant(value=value):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise RuleError(f"{value!r} in a condition: only numbers and names may stand there")
            numbers.append(float(value))
        case ast.BoolOp(values=sides):
            for side in sides:
                _check(side, names, numbers)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=operand):
            _check(operand, names, numbers)
        case ast.BinOp(left=left, op=op, right=right):
            if type(op) not in _ARITHMETIC:
                raise _refusal(op)
            _check(left, names, numbers)
            _check(right, names, numbers)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            for comparison in ops:
                if type(comparison) not in _COMPARISONS:
                    raise _refusal(comparison)
            for side in (left, *comparators):
                _check(side, names, numbers)
        case _:
            raise _refusal(node)


def _refusal(node: ast.AST) -> RuleError:
    what = _REFUSED.get(type(node), type(node).__name__.lower())
    return RuleError(
        f"{what} in a condition: only names, numbers, comparison, + - * / and and/or/not are "
        "known; what is awkward wants a new signal"
    )


def _dotted_name(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise _refusal(node)
    return ".".join((node.id, *reversed(parts)))


def _value_of(value: _Value) -> _Value:
    return None if value is None or math.isnan(value) else value


def _compile(node: ast.expr) -> _Answer:
    """Compile a checked tree into nested functions: a rule is evaluated far more often than
    read."""
    match node:
        case ast.Constant(value=value):
            number = float(value)  # type: ignore[arg-type]  # parse has checked it
            return lambda lookup: (number, ())
        case ast.Name() | ast.Attribute():
            name = _dotted_name(node)
            alone = (name,)
            return lambda lookup: (_value_of(lookup(name)), alone)
        case ast.BoolOp(op=op, values=values):
            return _join([_compile(value) for value in values], decisive=isinstance(op, ast.Or))
        case ast.UnaryOp(op=op, operand=operand):
            return _single(op, _compile(operand))
        case ast.BinOp(left=left, op=op, right=right):
            return _calculate(_ARITHMETIC[type(op)], _compile(left), _compile(right))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            sides = [_compile(side) for side in (left, *comparators)]
            return _compare(sides, [_COMPARISONS[type(op)] for op in ops])
    raise _refusal(node)


def _single(op: ast.unaryop, inner: _Answer) -> _Answer:
    def answer(lookup: Lookup) -> tuple[_Value, tuple[str, ...]]:
        value, names = inner(lookup)
        if value is None:
            return None, names
        if isinstance(op, ast.Not):
            return not value, names
        return (-value if isinstance(op, ast.USub) else value), names

    return answer


def _join(sides: Sequence[_Answer], decisive: bool) -> _Answer:
    """Return `or` (``decisive`` true) or `and` (false); the first decisive side wins."""

    def answer(lookup: Lookup) -> tuple[_Value, tuple[str, ...]]:
        unknown: tuple[str, ...] = ()
        rest: tuple[str, ...] = ()
        is_unknown = False
        for side in sides:
            value, names = side(lookup)
            if value is None:
                is_unknown = True
                unknown += names
            elif bool(value) is decisive:
                return decisive, names
            else:
                rest += names
        return (None, unknown) if is_unknown else (not decisive, rest)

    return answer


def _calculate(function: Callable[[float, float], float], left: _Answer, right: _Answer) -> _Answer:
    def answer(lookup: Lookup) -> tuple[_Value, tuple[str, ...]]:
        a, names = left(lookup)
        b, more = right(lookup)
        if a is None or b is None:
            return None, names + more
        try:
            return _value_of(function(a, b)), names + more
        except (ZeroDivisionError, OverflowError):
            return None, names + more

    return answer


def _compare(sides: Sequence[_Answer], ops: Sequence[Callable[..., bool]]) -> _Answer:
    """Compare a chain `a < b < c`: false as soon as one known pair is false."""

    def answer(lookup: Lookup) -> tuple[_Value, tuple[str, ...]]:
        values = [side(lookup) for side in sides]
        is_unknown = False
        for (a, used_a), op, (b, used_b) in zip(values, ops, values[1:], strict=False):
            if a is None or b is None:
                is_unknown = True
            elif not op(a, b):
                return False, used_a + used_b
        names = tuple(name for _, used in values for name in used)
        return (None if is_unknown else True), names

    return answer
