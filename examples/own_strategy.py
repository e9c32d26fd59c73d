"""A strategy of one's own: draw one answer at a time until two of them agree.

python examples/own_strategy.py [MODEL]
"""

import sys
from collections import Counter

import mull


class UntilTwoAgree:
    """A pure function of the tree: it asks, the solver spends."""

    def ask(self, tree: mull.SearchTree, limit: mull.Headroom) -> mull.Ask:
        votes = self.votes(tree)
        if 2 in votes.values() or len(tree.branches()) >= 20:
            return mull.Ask()  # nothing more
        whole_answer = mull.Expansion((tree.root,), mull.ExpansionKind.FINISH)
        return mull.Ask(grow=(whole_answer,))

    def select(self, tree: mull.SearchTree) -> mull.Candidate | None:
        votes = self.votes(tree)
        for node in tree.finished():
            if votes[tree.trajectory(node.id).answer_text] == max(votes.values()):
                return mull.Candidate(node.id, tree.trajectory(node.id).answer_text)
        return None

    def votes(self, tree: mull.SearchTree) -> Counter[str]:
        return Counter(tree.trajectory(node.id).answer_text for node in tree.finished())


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "mull-base"
    problem = "How many times does the letter r appear in strawberry?"
    solution = mull.solve(problem, model=model, strategy=UntilTwoAgree())
    print(solution.answer, "after", len(solution.tree.branches()), "answers")


if __name__ == "__main__":
    main()
