"""A verifier of one's own: casting out nines finds most wrong products without multiplying.

python examples/own_verifier.py [MODEL]
"""

import sys
from collections.abc import Sequence

import mull


class CastingOutNines:
    source = mull.Source("casting-out-nines", "1")

    def quote(self, trajectories: Sequence[mull.Trajectory]) -> mull.Usage:
        return mull.Usage()  # it costs no tokens

    async def score(self, trajectories: Sequence[mull.Trajectory]) -> list[mull.Score]:
        return [self.check(each) for each in trajectories]

    def check(self, trajectory: mull.Trajectory) -> mull.Score:
        answer = trajectory.answer_text.replace(" ", "")
        if not answer.isdecimal() or int(answer) % 9 != (847 % 9) * (293 % 9) % 9:
            return mull.Score(0.0, self.source, mull.Verdict.REJECT, reason="not right modulo 9")
        return mull.Score(0.9, self.source)  # an opinion: one wrong answer in nine passes


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "mull-base"
    solution = mull.solve("Multiply 847 by 293.", model=model, n=8, verifier=CastingOutNines())
    print(solution.answer, *solution.notes)


if __name__ == "__main__":
    main()
