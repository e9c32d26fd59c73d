"""Asking a policy over a tree, in tests."""

from typing import Any

from mull.core.expansion import Expansion, ExpansionKind, Grown, Outcome
from mull.core.problem import Message, Problem, Role
from mull.core.protocols import Policy
from mull.core.tree import SearchTree
from mull.core.usage import Usage

PROBLEM = Problem((Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "What is 6 * 7?")))
REVISE = (
    "That answer was checked and is not right: In words, please. "
    "Now solve the problem once more.\n\nWhat is 6 * 7?"
)


async def grow(
    policy: Policy, tree: SearchTree, expansion: Expansion | None = None, **options: Any
) -> list[Outcome]:
    """What the policy answers; what it grows is in the tree afterwards."""
    wanted = expansion or Expansion((tree.root,), ExpansionKind.FINISH, **options)
    calls = [tree.call(branch) for branch in tree.ask(wanted)]
    found = [each async for each in policy.expand(calls)]
    for each in found:
        if isinstance(each, Grown):
            tree.grow(each)
    return found


def steps(found: list[Outcome]) -> list[Grown]:
    return [each for each in found if isinstance(each, Grown)]


def total(found: list[Outcome]) -> Usage:
    return sum((each.usage for each in steps(found)), Usage())
