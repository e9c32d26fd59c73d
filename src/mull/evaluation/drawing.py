"""A finished search as lines of text: what its guide thought, what was given up, what went bad.

The labels are exact and come after the fact; no search saw them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mull.core.tree import Node, SearchTree
from mull.evaluation.reading import Grades

MAX_GIVEN_UP: Final = 2
"""Steps given up that are shown at one place, the best first; the others are counted."""


class Fate(StrEnum):
    """What became of a step."""

    KEPT = "kept"
    GIVEN_UP = "given up"
    RIGHT = "right"
    WRONG = "wrong"
    COUNTED = "counted"
    """No step: how many others there are."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One line of the drawing."""

    text: str
    fate: Fate


@dataclass(frozen=True, slots=True)
class Twig:
    """Equal steps from one place."""

    node: Node
    """The first of them that was kept, or the first."""
    times: int
    value: float | None
    """The guide's; None where it was not asked."""
    fate: Fate
    is_alive: bool | None
    """Whether the target can still be reached; None where nobody can say."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A tree, the truth about its states, and the guide that steered it, by name."""

    tree: SearchTree
    grades: Grades
    guide: str

    def lines(self) -> Iterator[Drawn]:
        """The tree from the first steps down, the best step of every place first."""
        yield from self._below(self.tree.node(self.tree.root), "", is_alive=True)

    def _below(self, node: Node, margin: str, *, is_alive: bool | None) -> Iterator[Drawn]:
        twigs = sorted(self._twigs(node), key=_rank)
        hidden = [twig for twig in twigs if twig.fate is Fate.GIVEN_UP][MAX_GIVEN_UP:]
        shown = [twig for twig in twigs if twig not in hidden]
        for place, twig in enumerate(shown):
            is_last = place == len(shown) - 1 and not hidden
            told = _told(twig, is_first_bad=bool(is_alive) and twig.is_alive is False)
            yield Drawn(f"{margin}{'└─' if is_last else '├─'} {told}", twig.fate)
            deeper = margin + ("   " if is_last else "│  ")
            yield from self._below(twig.node, deeper, is_alive=twig.is_alive)
        if hidden:
            yield Drawn(f"{margin}└─ {_counted(hidden)}", Fate.COUNTED)

    def _twigs(self, node: Node) -> list[Twig]:
        groups = dict[str, list[Node]]()
        for child in self.tree.children(node.id):
            groups.setdefault(child.step.text if child.step else "", []).append(child)
        return [self._twig(nodes) for nodes in groups.values()]

    def _twig(self, nodes: Sequence[Node]) -> Twig:
        tree = self.tree
        node = next((each for each in nodes if tree.children(each.id)), nodes[0])
        scores = [tree.score(each.id, self.guide) for each in nodes]
        value = next((score.value for score in scores if score is not None), None)
        if node.step is not None and node.step.is_final:
            is_right = self.grades.is_right(tree.trajectory(node.id).answer_text)
            return Twig(node, len(nodes), value, Fate.RIGHT if is_right else Fate.WRONG, is_right)
        fate = Fate.KEPT if tree.children(node.id) else Fate.GIVEN_UP
        is_alive = self.grades.can_be_solved([step.text for step in tree.steps(node.id)])
        return Twig(node, len(nodes), value, fate, is_alive)


def _rank(twig: Twig) -> tuple[bool, float]:
    return twig.fate is Fate.GIVEN_UP, -(1.0 if twig.value is None else twig.value)


def _told(twig: Twig, *, is_first_bad: bool) -> str:
    value = "    " if twig.value is None else f"{twig.value:.2f}"
    text = twig.node.step.text.strip() if twig.node.step else ""
    notes = [f"{twig.times} times"] if twig.times > 1 else []
    if twig.fate is not Fate.KEPT:
        notes.append(twig.fate.value)
    if is_first_bad:
        notes.append("the first bad step")
    elif twig.fate is Fate.GIVEN_UP and twig.is_alive:
        notes.append("though it could still be solved")
    return f"{value}  {text}" + (f"   [{', '.join(notes)}]" if notes else "")


def _counted(hidden: Sequence[Twig]) -> str:
    dead = sum(twig.is_alive is False for twig in hidden)
    return f"and {len(hidden)} more given up, {dead} of them dead ends"
