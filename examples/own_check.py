"""A checker of one's own in one function: casting out nines, without multiplying.

mull solve "Multiply 847 by 293." --n 8 --verifier examples/own_check.py:check
python examples/own_check.py [MODEL]
"""

import sys

import mull


def check(problem: mull.Problem, answer: str) -> bool:
    """Right modulo 9: most wrong products are not."""
    digits = answer.replace(" ", "")
    return digits.isdecimal() and int(digits) % 9 == (847 % 9) * (293 % 9) % 9


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "mull-base"
    solution = mull.solve("Multiply 847 by 293.", model=model, n=8, verifier=check)
    print(solution.answer, "with confidence", solution.confidence)


if __name__ == "__main__":
    main()
