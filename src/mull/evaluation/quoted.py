"""Published numbers of others, printed beside ours and never mixed with them."""

from dataclasses import dataclass
from typing import Final

SOURCE: Final = (
    "quoted, not measured here: GPT-4 on the same 100 games (ranks 900-999), Yao et al. 2023, "
    "Tree of Thoughts, arXiv:2305.10601, and its released logs, "
    "github.com/princeton-nlp/tree-of-thought-llm, MIT licence, (c) 2023 Shunyu Yao"
)


@dataclass(frozen=True, slots=True)
class Quoted:
    """One number as it was published. No interval was."""

    label: str
    accuracy: float
    note: str = ""


GPT4_GAME24: Final = (
    Quoted("GPT-4, answer only", 0.073, "IO, mean over samples"),
    Quoted("GPT-4, chain of thought", 0.040, "CoT, mean over samples"),
    Quoted("GPT-4, majority vote of 100", 0.090, "CoT-SC"),
    Quoted("GPT-4, answer only, best of 100", 0.33, "IO, any of 100 right"),
    Quoted("GPT-4, chain of thought, best of 100", 0.49, "CoT, any of 100 right"),
    Quoted("GPT-4, tree of thoughts, b=1", 0.45),
    Quoted("GPT-4, tree of thoughts, b=5", 0.74, "69 % in the log the authors released"),
)
"""For suite `game24-hard` alone."""
