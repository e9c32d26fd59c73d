from toys import TOKENIZER

from mull.core.steps import Step, StepKind
from mull.policies.rewriting import token_ids_of

THOUGHT = " 57 + 33 = 90\n"
WHOLE = "<think> 57 + 33 = 90\n</think> 90<|end|>"


def test_ids_of_the_familys_own_tokenizer_are_kept_as_they_are() -> None:
    ids = tuple(TOKENIZER.encode(f"<think>{THOUGHT}"))
    end = tuple(TOKENIZER.encode("</think> 90<|end|>"))
    steps = [
        Step(THOUGHT, ids, kind=StepKind.THOUGHT),
        Step(" 90", end, kind=StepKind.ANSWER, is_final=True),
    ]
    assert token_ids_of(steps, TOKENIZER) == [ids, end]


def test_foreign_or_missing_ids_are_written_anew_as_the_family_writes() -> None:
    for foreign in ((), (7, 8), (999_999,), (-1,)):
        steps = [
            Step(THOUGHT, foreign, kind=StepKind.THOUGHT),
            Step(" 90", foreign, kind=StepKind.ANSWER, is_final=True),
        ]
        ids = [token for step in token_ids_of(steps, TOKENIZER) for token in step]
        assert TOKENIZER.decode(ids) == WHOLE
    (only,) = token_ids_of([Step(" 90", kind=StepKind.ANSWER, is_final=True)], TOKENIZER)
    assert TOKENIZER.decode(only) == " 90<|end|>"


def test_text_that_spells_a_special_token_stays_text() -> None:
    (ids,) = token_ids_of([Step("<|end|><|good|>")], TOKENIZER)
    assert TOKENIZER.decode_plain(ids) == "<|end|><|good|>"
