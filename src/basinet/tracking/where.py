"""Which rows of a table are wanted: asked of a condition's settings first, so that few files and few rows are read."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from basinet.foundation.errors import ConfigError, require

Where = str | Mapping[str, Any]
"""`"kind == 'minimum' and network.depth in (2, 3)"`, or `{"kind": "minimum", "network.depth": [2, 3]}`."""

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_EXAMPLE = "say for instance \"kind == 'minimum' and network.depth >= 2\""


@dataclass(frozen=True)
class _Column:
    """A column that stands in the file."""

    name: str
    kind: str

    @property
    def field(self) -> Any:
        return pc.field(self.name)


_MISSING = object()  # a setting that this condition has not: every comparison with it is false


@dataclass(frozen=True)
class Rows:
    """A condition on rows, read once and asked of every file."""

    tree: ast.expr

    @staticmethod
    def wanted(where: Where | None) -> Rows:
        """The condition that a user has written; all rows if None.

        Columns are called by their dotted names, with or without the backticks of pandas; compared by == != < <= > >=
        in, joined by and, or, not (or & | ~).

        Raises:
            ConfigError: if it is no such condition.
        """
        if where is None:
            return Rows(ast.Constant(True))
        if isinstance(where, Mapping):
            equal = [_equals(name, value) for name, value in where.items()]
            return Rows(ast.BoolOp(ast.And(), [ast.Constant(True), *equal]))
        require(isinstance(where, str), f"where={where!r}: is neither text nor a mapping; {_EXAMPLE}")
        try:
            return Rows(ast.parse(where.replace("`", "").strip(), mode="eval").body)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(f"where: {_short(where)} is no condition; {_EXAMPLE}") from error

    @property
    def is_all(self) -> bool:
        """Whether nothing is asked."""
        return isinstance(self.tree, ast.Constant) and self.tree.value is True

    @property
    def names(self) -> list[str]:
        """The columns that it asks about."""
        outer = [node for node in ast.walk(self.tree) if _name(node)]
        inner = {id(node.value) for node in outer if isinstance(node, ast.Attribute)}
        return [_name(node) for node in outer if id(node) not in inner]

    def read(self, path: Path, schema: pa.Schema, settings: Mapping[str, Any], columns: list[str] | None) -> pa.Table:
        """Of a condition's table the rows that are wanted, and some columns (all if None).

        Raises:
            ConfigError: if a column is compared with something it can never be.
        """
        found = _truth(self.tree, _Known(schema, settings))
        if found is False:
            empty = schema.empty_table()
            return empty if columns is None else empty.select(columns)
        return pq.read_table(path, columns=columns, filters=None if found is True else found, partitioning=None)


@dataclass(frozen=True)
class _Known:
    """What a name stands for in one condition."""

    schema: pa.Schema
    settings: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        if name in self.schema.names:
            return _Column(name, _kind_of_type(self.schema.field(name).type))
        value = self.settings.get(name)
        return _MISSING if value is None else value


def _truth(node: ast.expr, known: _Known) -> Any:
    """Whether a condition holds: true, false, or an expression of the file's columns."""
    match node:
        case ast.BoolOp(op=op, values=values):
            return reduce(_and if isinstance(op, ast.And) else _or, [_truth(value, known) for value in values])
        case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() as op, right=right):
            join = _and if isinstance(op, ast.BitAnd) else _or
            return join(_truth(left, known), _truth(right, known))
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            return _not(_truth(operand, known))
        case ast.Compare(left=left, ops=ops, comparators=right):
            pairs = zip([left, *right], ops, right, strict=False)
            return reduce(_and, [_compared(*pair, known) for pair in pairs])
    found = _operand(node, known)
    require(_kind(found) == "true or false", f"where: {_written(node)} is no condition; {_EXAMPLE}")
    return found.field if isinstance(found, _Column) else found is True


def _operand(node: ast.expr, known: _Known) -> Any:
    """What stands at one side of a comparison: a constant, a column of the file, or a list of these."""
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            return [_operand(part, known) for part in parts]
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.Name() | ast.Attribute() if _name(node):
            return known[_name(node)]
    raise ConfigError(f"where: {_written(node)} is no column, number or text; {_EXAMPLE}")


def _compared(left: ast.expr, op: ast.cmpop, right: ast.expr, known: _Known) -> Any:
    first, second = _operand(left, known), _operand(right, known)
    if first is _MISSING or second is _MISSING:
        return False
    if isinstance(op, ast.In | ast.NotIn):
        told = f"where: {_written(right)} is no list of values, such as (2, 3)"
        require(isinstance(second, list), told)
        among = reduce(_or, [_equal(ast.Eq(), first, value, left) for value in second], False)
        return among if isinstance(op, ast.In) else _not(among)
    require(type(op) in _COMPARE, f"where: 'is' compares nothing here; write ==, or != ({_EXAMPLE})")
    return _equal(op, first, second, left)


def _equal(op: ast.cmpop, first: Any, second: Any, node: ast.expr) -> Any:
    """Two values compared; raises where one can never be the other, since no row would ever be found."""
    told = f"where: {_written(node)} is compared with a list; write in"
    require(not isinstance(first, list) and not isinstance(second, list), told)
    kinds = _kind(first), _kind(second)
    stored = isinstance(first, _Column) or isinstance(second, _Column)
    if kinds[0] != kinds[1] and not stored and isinstance(op, ast.Eq | ast.NotEq):
        return isinstance(op, ast.NotEq)  # settings may be of two kinds: a width is 3, or 3-4
    told = f"where: {_written(node)} is {kinds[0]}, and is compared with {kinds[1]}"
    require(kinds[0] == kinds[1], told)
    sides = [side.field if isinstance(side, _Column) else side for side in (first, second)]
    return _COMPARE[type(op)](*sides)


def _and(first: Any, second: Any) -> Any:
    if first is False or second is False:
        return False
    if first is True or second is True:
        return second if first is True else first
    return first & second


def _or(first: Any, second: Any) -> Any:
    return _not(_and(_not(first), _not(second)))


def _not(found: Any) -> Any:
    return not found if isinstance(found, bool) else ~found


def _equals(name: str, value: Any) -> ast.expr:
    several = isinstance(value, list | tuple | set | frozenset)
    op = ast.In() if several else ast.Eq()
    parts = [_constant(part) for part in value] if several else []
    other: ast.expr = ast.List(parts, ast.Load()) if several else _constant(value)
    return ast.Compare(ast.Name(str(name), ast.Load()), [op], [other])


def _constant(value: Any) -> ast.expr:
    plain = value.item() if hasattr(value, "item") else value  # of numpy's numbers
    require(isinstance(plain, bool | int | float | str), f"where: {_short(repr(value))} is no number and no text")
    return ast.Constant(plain)


def _name(node: ast.AST) -> str:
    """`network.depth`, where a node is a name or a dotted one; empty where it is neither."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (group := _name(node.value)):
        return f"{group}.{node.attr}"
    return ""


def _kind(value: Any) -> str:
    if isinstance(value, _Column):
        return value.kind
    if isinstance(value, bool) or value is _MISSING:
        return "true or false"
    return "a number" if isinstance(value, int | float) else "text"


def _kind_of_type(found: pa.DataType) -> str:
    if pa.types.is_boolean(found):
        return "true or false"
    numeric = pa.types.is_integer(found) or pa.types.is_floating(found)
    return "a number" if numeric else "text"


def _written(node: ast.expr) -> str:
    return _short(ast.unparse(node))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
