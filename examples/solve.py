"""Solve a puzzle with a shipped model, twice: one quick guess, then sixteen checked attempts.

python examples/solve.py [MODEL]
"""

import sys

import mull

PROBLEM = "Use 4, 9, 10 and 13 once each with + - * / to make 24."


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "mull-base"
    for strategy, n in (("greedy", None), ("best_of_n", 16)):
        solution = mull.solve(PROBLEM, model=model, strategy=strategy, n=n)
        answer = mull.readable_answer(solution.tree.problem, solution.answer or "no answer")
        print(f"{strategy}: {answer}")
        print("  stopped:", solution.stop, "after", solution.usage.generated_tokens, "tokens")


if __name__ == "__main__":
    main()
