"""Steps of any policy in the tokens of the shipped family's tokenizer."""

from collections.abc import Sequence

from mull.core.steps import Step, StepKind
from mull.models.tokenizer import END, END_THINK, THINK, TextTokenizer


def token_ids_of(steps: Sequence[Step], tokenizer: TextTokenizer) -> list[tuple[int, ...]]:
    """The ids of each step: its own where they are this tokenizer's, else those of its text.

    Ids are trusted where they read as the step's text. Written anew, thoughts stand in a think
    block and a final step ends the turn, as models of the family write.
    """
    written = list[tuple[int, ...]]()
    before = StepKind.ANSWER
    for step in steps:
        if _reads_as_its_text(step, tokenizer):
            written.append(step.token_ids)
        else:
            mark = {StepKind.THOUGHT: THINK, StepKind.ANSWER: END_THINK}[step.kind]
            opened = tokenizer.encode(mark) if step.kind is not before else []
            ended = tokenizer.encode(END) if step.is_final else []
            written.append((*opened, *tokenizer.encode_untrusted(step.text), *ended))
        before = step.kind
    return written


def _reads_as_its_text(step: Step, tokenizer: TextTokenizer) -> bool:
    ids = step.token_ids
    if not ids or not all(0 <= each < tokenizer.vocab_size for each in ids):
        return False
    return tokenizer.decode_plain(ids) == step.text
