"""The faults that a module can take, one at a time: signs, axes, factors, orders, dropped steps."""

import ast
from itertools import chain
from pathlib import PurePath

TURNED = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Eq: ast.NotEq, ast.Is: ast.IsNot}
TURNED |= {ast.Add: ast.Sub, ast.Mult: ast.Div, ast.And: ast.Or}
TURNED |= {b: a for a, b in TURNED.items()}
OTHER = {"mean": "sum", "max": "min", "amax": "amin", "argmax": "argmin", "sin": "cos"}
OTHER |= {b: a for a, b in OTHER.items()}
TAKEN_OFF = {"detach", "abs", "sqrt", "relu", "normalize", "softmax", "log", "exp", "clamp", "pow"}
SYMMETRIC = {"min", "max", "zip", "isinstance", "equal", "minimum", "maximum", "pick"}
SPOKEN = {"print", "card", "write_card", "table", "report", "filterwarnings", "tqdm"}
CHECKS = {"strict", "non_blocking", "quiet"}  # switches that change no number


def faults(module: str, source: str) -> list[dict]:
    """Every fault that a module can take: inside its functions, one node at a time."""
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
    nodes = chain.from_iterable(_code(s) for function in functions for s in function.body)
    found = [_planted(module, source, n, kind, new) for n in nodes for kind, new in _changes(n)]
    return list({fault["source"]: fault for fault in found}.values())


def _code(node: ast.AST):
    """A node and what is in it, without annotations, texts, errors, and what only speaks."""
    spoken = isinstance(node, ast.Call) and _name(node.func) in SPOKEN
    if not spoken and not isinstance(node, (ast.Raise, ast.JoinedStr, ast.FunctionDef, ast.arg)):
        yield node
        for child in ast.iter_child_nodes(node):
            if child is not getattr(node, "annotation", None):
                yield from _code(child)


def _changes(node: ast.AST):
    """(kind, a node to stand there instead) for every fault that one node can take."""
    match node:
        case ast.BinOp(op=op, left=left, right=right) if type(op) in TURNED:
            if not any(isinstance(getattr(n, "value", None), str) for n in (left, right)):
                yield "sign or factor", _with(node, op=TURNED[type(op)]())
                yield "factor", left
        case ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in TURNED:
            yield "sign or factor", _with(node, op=TURNED[type(op)]())
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            yield "sign or factor", node.operand
        case ast.Compare(ops=[op]) if type(op) in TURNED:
            yield "comparison", _with(node, ops=[TURNED[type(op)]()])
        case ast.keyword(arg="dim" | "axis", value=value):
            yield "axis", _with(node, value=ast.Constant(int(ast.unparse(value) == "0")))
        case ast.keyword(arg=name, value=ast.Constant(value=bool() as on)) if name not in CHECKS:
            yield "switch", _with(node, value=ast.Constant(not on))
        case ast.Slice(lower=lower, upper=upper) if lower or upper:
            one_on = ast.BinOp(lower or upper, ast.Add(), ast.Constant(1))
            yield "off by one", _with(node, **{"lower" if lower else "upper": one_on})
        case ast.Expr(value=ast.Call(func=function)) if _name(function) not in SPOKEN:
            yield "dropped step", ast.Pass()
        case ast.Call(func=function, args=args):
            name, (a, b) = _name(function), [*args, None, None][:2]
            if b and type(a) is type(b) and name not in SYMMETRIC:
                yield "swapped", _with(node, args=[b, a, *args[2:]])
            if name == "range":
                less = ast.BinOp(a, ast.Sub(), ast.Constant(1))
                yield "off by one", _with(node, args=[less, *args[1:]])
            if name in OTHER and isinstance(function, ast.Attribute):
                yield "mean for sum", _with(node, func=_with(function, attr=OTHER[name]))
            if name in TAKEN_OFF and isinstance(function, ast.Attribute):
                of_a = _name(function.value) in ("F", "torch", "np", "math")
                yield "taken off", a if of_a else function.value


def _with(node: ast.AST, **fields) -> ast.AST:
    return type(node)(**{**dict(ast.iter_fields(node)), **fields})


def _name(node: ast.AST) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))


def _planted(module: str, source: str, node: ast.AST, kind: str, new: ast.AST) -> dict:
    before, after = ast.get_source_segment(source, node), ast.unparse(new)
    after = f"({after})" if isinstance(node, (ast.BinOp, ast.Compare, ast.BoolOp)) else after
    lines = source.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    rest = source.encode()[start + len(before.encode()) :]
    words = f"{PurePath(module).stem}: {' '.join(before.split())} → {after}"
    fault = {"module": module, "line": node.lineno, "kind": kind, "words": words}
    return fault | {"source": (source.encode()[:start] + after.encode() + rest).decode()}
