"""Between problems and token ids: what is trusted, what is a thought, where text is complete."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import NEWLINE, STOP, TOKENIZER, write_toy_checkpoint

from mull.core.errors import BadInputError, CheckpointError
from mull.core.expansion import Thinking
from mull.core.problem import Message, Problem, Role
from mull.core.steps import StepKind
from mull.models.tokenizer import ASSISTANT, BEGIN, END_THINK, SPECIAL_TOKENS, THINK, USER
from mull.policies.formats import PLACE, ChatFormat, TextStream

SPECIAL_IDS = {TOKENIZER.token_id(token) for token in SPECIAL_TOKENS}
STATEMENT = "Use 4, 9, 10 and 13 once each with + - * / to make 24."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_checkpoint(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def chat(folder: Path) -> ChatFormat:
    return ChatFormat.load(folder, TOKENIZER)


def ids(text: str) -> tuple[int, ...]:
    return tuple(TOKENIZER.encode(text))


def with_template(folder: Path, template: str) -> Path:
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**settings, "chat_template": template}), encoding="utf-8")
    return folder


def test_a_problem_is_asked_in_the_trained_frame(chat: ChatFormat) -> None:
    problem = Problem.of(STATEMENT)
    asked = ids(f"{BEGIN}{USER}{STATEMENT}{ASSISTANT}")
    assert chat.prompt(problem, Thinking.AUTO) == asked
    assert chat.prompt(problem, Thinking.OFF) == asked + ids(f"{THINK}{END_THINK}")


def test_equal_problems_share_one_prompt(chat: ChatFormat) -> None:
    first = chat.prompt(Problem.of(STATEMENT), Thinking.AUTO)
    assert chat.prompt(Problem.of(STATEMENT), Thinking.AUTO) is first


def test_the_oldest_prompt_is_forgotten_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mull.policies.formats.MAX_PROMPTS", 2)
    chat = ChatFormat.load(folder, TOKENIZER)
    prompts = [chat.prompt(Problem.of(text), Thinking.AUTO) for text in "abc"]
    assert chat.prompt(Problem.of("c"), Thinking.AUTO) is prompts[2]
    again = chat.prompt(Problem.of("a"), Thinking.AUTO)
    assert again == prompts[0]
    assert again is not prompts[0]


fragments = st.sampled_from([*SPECIAL_TOKENS, "<|", PLACE.format(0), PLACE.format(1)])
hostile = st.lists(st.one_of(fragments, st.text())).map("".join)


@given(hostile)
def test_text_that_spells_special_tokens_stays_text(chat: ChatFormat, text: str) -> None:
    problem = Problem((Message(Role.SYSTEM, text), Message(Role.USER, text)))
    prompt = chat.prompt(problem, Thinking.AUTO)
    frame = [token for token in prompt if token in SPECIAL_IDS]
    assert frame == TOKENIZER.encode(f"{BEGIN}<|system|>{USER}{ASSISTANT}")
    assert TOKENIZER.decode(prompt) == f"{BEGIN}<|system|>{text}{USER}{text}{ASSISTANT}"


@pytest.mark.parametrize(
    ("text", "thinks", "kind", "shown"),
    [
        (f"{THINK} 4 + 9\n", False, StepKind.THOUGHT, " 4 + 9\n"),
        (" 4 + 9\n", True, StepKind.THOUGHT, " 4 + 9\n"),
        (" 4 + 9\n", False, StepKind.ANSWER, " 4 + 9\n"),
        (f"{END_THINK} 13<|end|>", True, StepKind.ANSWER, " 13"),
        (f" 4 + 9{END_THINK}", True, StepKind.THOUGHT, " 4 + 9"),
        (f"{THINK}{END_THINK}", False, StepKind.THOUGHT, ""),
        ("<|end|>", False, StepKind.ANSWER, ""),
        ("<|end|>", True, StepKind.THOUGHT, ""),
        ("", True, StepKind.THOUGHT, ""),
    ],
)
def test_what_is_inside_the_think_block_is_a_thought(
    chat: ChatFormat, text: str, kind: StepKind, shown: str, *, thinks: bool
) -> None:
    step = chat.step(ids(text), (), thinks=thinks)
    assert (step.kind, step.text, step.token_ids) == (kind, shown, ids(text))
    assert step.is_final == text.endswith("<|end|>")


def test_the_last_mark_says_whether_one_is_thinking(chat: ChatFormat) -> None:
    assert chat.thinks_after(ids(f" 4{THINK} 9"))
    assert not chat.thinks_after(ids(f"{THINK} 9{END_THINK} 4"), before=True)
    assert chat.thinks_after(ids(" 4 9"), before=True)
    assert not chat.thinks_after(ids(" 4 9"))


def test_punctuation_is_read_from_the_checkpoint(chat: ChatFormat) -> None:
    assert chat.punctuation.stops == {STOP}
    assert chat.punctuation.steps == {NEWLINE}
    assert chat.punctuation.late_steps == {TOKENIZER.token_id(END_THINK)}


@given(st.text(max_size=20), st.data())
def test_streamed_text_is_the_text(chat: ChatFormat, text: str, data: st.DataObject) -> None:
    tokens, stream, shown = TOKENIZER.encode_untrusted(text), TextStream(chat), ""
    while tokens:
        size = data.draw(st.integers(1, len(tokens)))
        shown += stream.take(tokens[:size], flush=size == len(tokens))
        tokens = tokens[size:]
    assert shown == text


def test_a_character_streams_when_its_last_byte_is_there(chat: ChatFormat) -> None:
    stream = TextStream(chat)
    shown = [stream.take([token], flush=False) for token in TOKENIZER.encode_untrusted("€ü")]
    assert shown == ["", "", "€", "", "ü"]
    # What never becomes a character is shown when the step ends.
    bad = TOKENIZER.find("\u00ff")
    assert bad is not None
    assert not stream.take([bad], flush=False)
    assert stream.take([bad], flush=True) == "\N{REPLACEMENT CHARACTER}" * 2


@pytest.mark.parametrize("template_file", [True, False])
def test_a_template_of_another_make_is_followed(tmp_path: Path, *, template_file: bool) -> None:
    template = (
        "{% for message in messages %}\n"
        "{{ message.role | upper }}: {{ message['content'] | trim }}\n"
        "{% endfor %}\n"
        "{% if add_generation_prompt %}{{ bos_token }}{% endif %}"
    )
    folder = write_toy_checkpoint(tmp_path)
    if template_file:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    else:
        with_template(folder, template)
    chat = ChatFormat.load(folder, TOKENIZER)
    prompt = chat.prompt(Problem.of("Why?"), Thinking.AUTO)
    assert TOKENIZER.decode(prompt) == f"USER: Why?\n{BEGIN}"


def test_a_template_may_leave_messages_out(tmp_path: Path) -> None:
    template = "{{ messages[-1]['content'] }}{{ bos_token }}"
    chat = ChatFormat.load(with_template(write_toy_checkpoint(tmp_path), template), TOKENIZER)
    problem = Problem((Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Why?")))
    assert TOKENIZER.decode(chat.prompt(problem, Thinking.AUTO)) == f"Why?{BEGIN}"


def test_a_template_may_refuse_a_conversation(tmp_path: Path) -> None:
    folder = with_template(write_toy_checkpoint(tmp_path), "{{ raise_exception('no system') }}")
    chat = ChatFormat.load(folder, TOKENIZER)
    with pytest.raises(BadInputError, match="no system"):
        chat.prompt(Problem.of("Why?"), Thinking.AUTO)


def test_a_template_cannot_reach_beyond_what_it_is_given(tmp_path: Path) -> None:
    attack = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    folder = with_template(write_toy_checkpoint(tmp_path), attack)
    chat = ChatFormat.load(folder, TOKENIZER)
    with pytest.raises(BadInputError, match="unsafe"):
        chat.prompt(Problem.of("Why?"), Thinking.AUTO)


def edit(folder: Path, name: str, **changes: object) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}), encoding="utf-8")


def test_a_broken_template_is_a_checkpoint_error(tmp_path: Path) -> None:
    folder = with_template(write_toy_checkpoint(tmp_path), "{% for %}")
    with pytest.raises(CheckpointError, match="broken"):
        ChatFormat.load(folder, TOKENIZER)


def test_a_checkpoint_without_a_template_says_what_to_add(tmp_path: Path) -> None:
    folder = write_toy_checkpoint(tmp_path)
    edit(folder, "tokenizer_config.json", chat_template=None)
    with pytest.raises(CheckpointError, match="no chat template") as caught:
        ChatFormat.load(folder, TOKENIZER)
    assert "chat_template" in str(caught.value.hint)


def test_every_named_end_of_turn_counts(tmp_path: Path) -> None:
    folder = write_toy_checkpoint(tmp_path)
    edit(folder, "generation_config.json", eos_token_id=[STOP, 17])
    edit(folder, "tokenizer_config.json", eos_token={"content": "<|probe|>"})
    stops = ChatFormat.load(folder, TOKENIZER).punctuation.stops
    assert stops == {STOP, 17, TOKENIZER.token_id("<|probe|>")}


def test_an_end_of_turn_that_is_no_token_is_refused(tmp_path: Path) -> None:
    folder = write_toy_checkpoint(tmp_path)
    edit(folder, "tokenizer_config.json", eos_token="<|over|>")  # noqa: S106  (no password)
    with pytest.raises(CheckpointError, match=r"<\|over\|>"):
        ChatFormat.load(folder, TOKENIZER)


def test_a_checkpoint_without_an_end_of_turn_is_refused(tmp_path: Path) -> None:
    folder = write_toy_checkpoint(tmp_path)
    for name in ("config.json", "generation_config.json"):
        edit(folder, name, eos_token_id=None)
    edit(folder, "tokenizer_config.json", eos_token=None)
    with pytest.raises(CheckpointError, match="no end of turn"):
        ChatFormat.load(folder, TOKENIZER)


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_chat_metadata_that_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    folder = write_toy_checkpoint(tmp_path)
    (folder / "tokenizer_config.json").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json"):
        ChatFormat.load(folder, TOKENIZER)


def test_missing_chat_metadata_is_refused(tmp_path: Path) -> None:
    folder = write_toy_checkpoint(tmp_path)
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json"):
        ChatFormat.load(folder, TOKENIZER)
