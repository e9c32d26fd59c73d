"""From Python to LLVM: as much of the language as the kernels take.

A function's types are those that it declares: `int` is a number of 64 bits, `float` of 32, and
`Lanes`, `Floats` and `Ints` are what lanes.py says. A name has the type of what it is first given.
Constants, words and other functions are found where the module has them.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any, Final, NoReturn

from mull.engine.lanes import FLOATS, INTS, LANES, REAL, WHOLE, Word, ir, spread

TYPES: Final[Mapping[str, Any]] = {
    "int": WHOLE,
    "float": REAL,
    "Lanes": LANES,
    "Floats": FLOATS,
    "Ints": INTS,
    "None": ir.VoidType(),
}
COMPARED: Final[Mapping[type[ast.cmpop], str]] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
WHOLES: Final[Mapping[type[ast.operator], str]] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.RShift: "ashr",
    ast.BitAnd: "and_",
}
REALS: Final[Mapping[type[ast.operator], str]] = {
    ast.Add: "fadd",
    ast.Sub: "fsub",
    ast.Mult: "fmul",
    ast.Div: "fdiv",
}


def translated(sources: Sequence[ModuleType], exported: Sequence[str]) -> str:
    """All functions of some modules, as LLVM's assembly; others can call those of these names."""
    module = ir.Module("kernels")
    functions = [
        (tree, vars(source))
        for source in sources
        for tree in ast.parse(inspect.getsource(source)).body
        if isinstance(tree, ast.FunctionDef)
    ]
    for tree, _ in functions:
        kinds = [TYPES[ast.unparse(each.annotation)] for each in tree.args.args if each.annotation]
        assert tree.returns is not None
        kind = ir.FunctionType(TYPES[ast.unparse(tree.returns)], kinds)
        function = ir.Function(module, kind, tree.name)
        function.attributes.add("nounwind")
        if tree.name not in exported:
            function.linkage = "internal"
    for tree, names in functions:
        _Body(tree, module, names).write()
    return str(module)


class _Body(ast.NodeVisitor):
    """One function being translated. An expression is visited for its value."""

    def __init__(self, tree: ast.FunctionDef, module: Any, names: Mapping[str, Any]) -> None:
        self._tree, self._module, self._names = tree, module, names
        self._function = module.get_global(tree.name)
        self._entry = ir.IRBuilder(self._function.append_basic_block())
        """Where room for names is made."""
        self._builder = ir.IRBuilder(self._function.append_basic_block())
        self._rooms = dict[str, Any]()

    def write(self) -> None:
        """Give the function its body."""
        start = self._builder.block
        for argument, value in zip(self._tree.args.args, self._function.args, strict=True):
            self._name(argument.arg, value)
        self._block(self._tree.body)
        if not self._builder.block.is_terminated:
            self._builder.ret_void()
        self._entry.branch(start)

    def generic_visit(self, node: ast.AST) -> NoReturn:
        """Whatever has no visit of its own is not part of the language."""
        raise self._odd(node)

    def _odd(self, node: ast.AST) -> SyntaxError:
        return SyntaxError(f"`{self._tree.name}` cannot be compiled: {ast.unparse(node)}")

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        match node:
            case ast.Assign([ast.Tuple(targets)], ast.Tuple(values)):
                values = [self.visit(each) for each in values]
                for target, value in zip(targets, values, strict=True):
                    self._assign(target, value)
            case ast.Assign([target], value):
                self._assign(target, self.visit(value))
            case _:
                raise self._odd(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._assign(node.target, self.visit(ast.BinOp(node.target, node.op, node.value)))

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            self._builder.ret_void()
        else:
            self._builder.ret(self.visit(node.value))

    def visit_If(self, node: ast.If) -> None:
        builder = self._builder
        yes, no, after = (self._function.append_basic_block() for _ in range(3))
        builder.cbranch(self.visit(node.test), yes, no)
        for block, statements in ((yes, node.body), (no, node.orelse)):
            builder.position_at_end(block)
            self._block(statements)
            if not builder.block.is_terminated:
                builder.branch(after)
        builder.position_at_end(after)

    def visit_While(self, node: ast.While) -> None:
        self._loop(lambda: self.visit(node.test), lambda: self._block(node.body))

    def visit_For(self, node: ast.For) -> None:
        match node:
            case ast.For(ast.Name(name), ast.Call(ast.Name("range"), [*given])):
                bounds = [self.visit(each) for each in given]
            case _:
                raise self._odd(node)
        start, end, step = [
            *([WHOLE(0)] if len(bounds) == 1 else []),
            *bounds,
            *([WHOLE(1)] if len(bounds) < 3 else []),
        ]
        self._name(name, start)
        room, builder = self._rooms[name], self._builder

        def turn() -> None:
            self._block(node.body)
            builder.store(builder.add(builder.load(room), step), room)

        self._loop(lambda: builder.icmp_signed("<", builder.load(room), end), turn)

    def visit_Constant(self, node: ast.Constant) -> Any:
        match node.value:
            case int() as number:
                return WHOLE(int(number))  # True and False too
            case float() as number:
                return REAL(number)
            case _:
                raise self._odd(node)

    def visit_Name(self, node: ast.Name) -> Any:
        if node.id in self._rooms:
            return self._builder.load(self._rooms[node.id])
        return self.visit(ast.Constant(self._names.get(node.id, node)))

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        return self.visit(ast.Constant(getattr(self._names[ast.unparse(node.value)], node.attr)))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        value = self.visit(node.operand)
        if not isinstance(node.op, ast.USub):
            raise self._odd(node)
        return self._builder.neg(value) if value.type == WHOLE else self._builder.fneg(value)

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        left, right = self.visit(node.left), self.visit(node.right)
        if left.type in (FLOATS, INTS) and isinstance(node.op, ast.Add):
            return self._builder.gep(left, [right])
        is_whole = left.type == WHOLE == right.type
        name = (WHOLES if is_whole else REALS).get(type(node.op))
        if name is None:
            raise self._odd(node)
        if is_whole:
            return getattr(self._builder, name)(left, right)
        wide = LANES if LANES in (left.type, right.type) else REAL
        operands = self._as(left, wide), self._as(right, wide)
        return getattr(self._builder, name)(*operands, flags=("contract",))

    def visit_Compare(self, node: ast.Compare) -> Any:
        left, [right] = self.visit(node.left), [self.visit(each) for each in node.comparators]
        compare = self._builder.icmp_signed if left.type == WHOLE else self._builder.fcmp_ordered
        return compare(COMPARED[type(node.ops[0])], left, right)

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        """Both are looked at, always."""
        if not isinstance(node.op, ast.And):
            raise self._odd(node)
        one, other = (self.visit(each) for each in node.values)
        return self._builder.and_(one, other)

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        return self._builder.load(self._place(node))

    def visit_Call(self, node: ast.Call) -> Any:
        builder, values = self._builder, [self.visit(each) for each in node.args]
        match node.func, self._names.get(ast.unparse(node.func)):
            case ast.Name("min" | "max" as name), None:
                is_first = builder.icmp_signed("<" if name == "min" else ">", *values)
                return builder.select(is_first, *values)
            case _, Word(emit):
                return emit(builder, *values)
            case ast.Name(name), FunctionType():
                return builder.call(self._module.get_global(name), values)
            case _:
                raise self._odd(node)

    def _block(self, statements: Sequence[ast.stmt]) -> None:
        for each in statements:
            self.visit(each)

    def _assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Name(name):
                self._name(name, value)
            case ast.Subscript():
                self._builder.store(value, self._place(target))
            case _:
                raise self._odd(target)

    def _place(self, node: ast.Subscript) -> Any:
        return self._builder.gep(self.visit(node.value), [self.visit(node.slice)])

    def _name(self, name: str, value: Any) -> None:
        if name not in self._rooms:
            self._rooms[name] = self._entry.alloca(value.type)
        self._builder.store(self._as(value, self._rooms[name].type.pointee), self._rooms[name])

    def _as(self, value: Any, kind: Any) -> Any:
        """A number in all lanes, where lanes are asked for."""
        return spread(self._builder, value) if kind == LANES and value.type == REAL else value

    def _loop(self, test: Callable[[], Any], body: Callable[[], None]) -> None:
        builder = self._builder
        head, inside, after = (self._function.append_basic_block() for _ in range(3))
        builder.branch(head)
        builder.position_at_end(head)
        builder.cbranch(test(), inside, after)
        builder.position_at_end(inside)
        body()
        builder.branch(head)
        builder.position_at_end(after)
