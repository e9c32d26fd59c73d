"""What a worker of the prover does: whether premises entail a conclusion, by z3."""

import importlib
from collections.abc import Mapping
from typing import Any, Final

from mull.verifiers.formal.grammar import (
    CONNECTIVES,
    ClaimError,
    Claims,
    Formula,
    Name,
    Node,
    Number,
    parse_claims,
    parse_premises,
)
from mull.verifiers.template import outcome, run

_MAX_SHOWN: Final = 12
_EITHER: Final = CONNECTIVES - {"&"}
"""What may hold though a part of it does not."""


class Translation:
    """Formulas as z3 terms. Names get one sort for good: a truth value, a whole number or real."""

    def __init__(self, z3: Any, premises: Claims, conclusion: Claims) -> None:
        self._z3 = z3
        given = _names_in(premises) | premises.whole | premises.truths
        truths = premises.truths | _truths_in(premises)
        if taken := given & (conclusion.whole - premises.whole | conclusion.truths - truths):
            # Else whoever answers could say that `x` is whole, and prove what holds only then.
            raise ClaimError(f"`{min(taken)}` belongs to the premises, which declare it")
        self._whole = premises.whole | conclusion.whole
        self._truths = truths | (conclusion.truths | _truths_in(conclusion)) - given

    def term(self, formula: Formula) -> Any:
        """The z3 term; raises z3's own errors, or ClaimError, for what has no meaning."""
        match formula:
            case Number(literal):
                is_whole = "." not in literal
                return self._z3.IntVal(literal) if is_whole else self._z3.RealVal(literal)
            case Name(name):
                return self._name(name)
            case Node(operator, operands):
                return self._apply(operator, [self.term(each) for each in operands])

    def _name(self, name: str) -> Any:
        if name in {"true", "false"}:
            return self._z3.BoolVal(name == "true")
        if name in self._truths:
            return self._z3.Bool(name)
        return self._z3.Int(name) if name in self._whole else self._z3.Real(name)

    def _apply(self, operator: str, terms: list[Any]) -> Any:
        z3 = self._z3
        if operator in CONNECTIVES:
            if not all(z3.is_bool(term) for term in terms):
                raise ClaimError(f"`{operator}` joins truth values, not numbers")
            makers = {"&": z3.And, "|": z3.Or, "!": z3.Not, "->": z3.Implies}
            return terms[0] == terms[1] if operator == "<->" else makers[operator](*terms)
        if operator in {"=", "!="} and all(z3.is_bool(term) for term in terms):
            return terms[0] == terms[1] if operator == "=" else terms[0] != terms[1]
        if any(z3.is_bool(term) for term in terms):
            raise ClaimError(f"`{operator}` is of numbers, not of truth values")
        return self._number(operator, terms)

    def _number(self, operator: str, terms: list[Any]) -> Any:
        if operator == "distinct":
            return self._z3.Distinct(*terms)
        if len(terms) == 1:
            return -terms[0]
        left, right = terms
        if operator == "/":
            # Division of whole numbers is exact, as everywhere else in mull.
            real = [self._z3.ToReal(each) if self._z3.is_int(each) else each for each in terms]
            return real[0] / real[1]
        if operator == "%" and not (self._z3.is_int(left) and self._z3.is_int(right)):
            raise ClaimError("`%` is of whole numbers: declare them, as in `int x`")
        calculations = {
            "+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right,
            "%": lambda: left % right, "^": lambda: left**right, "=": lambda: left == right,
            "!=": lambda: left != right, "<": lambda: left < right, "<=": lambda: left <= right,
            ">": lambda: left > right, ">=": lambda: left >= right,
        }  # fmt: skip
        return calculations[operator]()


def _names_in(claims: Claims) -> frozenset[str]:
    found, queue = set[str](), list(claims.formulas)
    while queue:
        formula = queue.pop()
        if isinstance(formula, Name):
            found.add(formula.name)
        elif isinstance(formula, Node):
            queue += formula.operands
    return frozenset(found)


def _truths_in(claims: Claims) -> frozenset[str]:
    """Names that stand where only a truth value can."""
    found, queue = set[str](), [(formula, True) for formula in claims.formulas]
    while queue:
        formula, is_truth = queue.pop()
        if isinstance(formula, Name) and is_truth:
            found.add(formula.name)
        elif isinstance(formula, Node):
            inside = formula.operator in CONNECTIVES
            queue += [(operand, inside) for operand in formula.operands]
    return frozenset(found - {"true", "false"})


def _guards(
    translation: Translation, formulas: tuple[Formula, ...], *, certain: bool = False
) -> list[Any]:
    """That no divisor is zero: z3 may give `1/0` any value, and so prove anything.

    The `certain` ones are of what must hold whenever the formulas do, and so have a value.
    """
    guards, queue = list[Any](), list(formulas)
    while queue:
        formula = queue.pop()
        if isinstance(formula, Node) and not (certain and formula.operator in _EITHER):
            if formula.operator in "/%":
                guards.append(translation.term(formula.operands[1]) != 0)
            queue += formula.operands
    return guards


def prove(request: Mapping[str, str]) -> dict[str, str]:
    """Whether every way to make the premises true makes the conclusion true."""
    z3: Any = importlib.import_module("z3")
    try:
        premises = parse_premises(request["premises"])
        conclusion = parse_claims(request["conclusion"])
        translation = Translation(z3, premises, conclusion)
        assumed = [translation.term(each) for each in premises.formulas]
        assumed += _guards(translation, premises.formulas, certain=True)
        claimed = z3.And(*[translation.term(each) for each in conclusion.formulas])
        guards = _guards(translation, premises.formulas + conclusion.formulas)
        return _decide(z3, assumed, guards, claimed)
    except ClaimError as error:
        return outcome("unknown", f"not understood: {error}")
    except z3.Z3Exception as error:
        return outcome("unknown", f"z3 refuses it: {str(error)[:120]}")


def _decide(z3: Any, assumed: list[Any], guards: list[Any], claimed: Any) -> dict[str, str]:
    """Refuted by values that divide by no zero; proved only where the guards are not needed.

    A claim that was helped by its own guards could prove `x != 0` by dividing by `x`.
    """
    solver = z3.Solver()
    solver.add(*assumed, *guards)
    possible = solver.check()
    if possible == z3.unsat:
        return outcome("unknown", "what is assumed contradicts itself")
    solver.add(z3.Not(claimed))
    found = solver.check()
    if found == z3.sat:
        return outcome("reject", f"false where {_shown(solver.model())}")
    if found == z3.unsat and possible == z3.sat:
        return _proved(z3, assumed, claimed)
    return outcome("unknown", f"z3 does not decide it: {solver.reason_unknown()[:80]}")


def _proved(z3: Any, assumed: list[Any], claimed: Any) -> dict[str, str]:
    solver = z3.Solver()
    solver.add(*assumed, z3.Not(claimed))
    if solver.check() == z3.unsat:
        return outcome("accept", "proved")
    return outcome("unknown", "it holds only where nothing is divided by zero")


def _shown(model: Any) -> str:
    values = sorted(f"{name} = {model[name]}" for name in model)[:_MAX_SHOWN]
    return ", ".join(values)[:200] or "nothing else is assumed"


def _warm_up() -> None:
    prove({"premises": "int x; x > 1; p", "conclusion": "x * x > 2 & (p | q)"})


if __name__ == "__main__":
    run(prove, _warm_up)
