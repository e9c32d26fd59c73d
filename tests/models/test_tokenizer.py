"""The tokenizer's promises: its ids are in every trained weight."""

from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import TOKENIZER

from mull.core.errors import CheckpointError
from mull.models.tokenizer import SPECIAL_TOKENS, VOCAB_SIZE, TextTokenizer, build_tokenizer

SPECIAL_IDS = {TOKENIZER.token_id(token) for token in SPECIAL_TOKENS}
hostile = st.lists(
    st.one_of(
        st.sampled_from(SPECIAL_TOKENS), st.sampled_from(["<", "|>", "think", " "]), st.text()
    )
).map("".join)


def test_the_ids_are_pinned() -> None:
    # Trained weights depend on every id: a change here makes all checkpoints useless.
    built = build_tokenizer().to_str(pretty=False)
    assert sha256(built.encode()).hexdigest() == (
        "621e4a9ceb82b12133df5a3d924b623f37a35944b30c0ceea0e9031b84c54185"
    )
    assert [TOKENIZER.token_id(token) for token in SPECIAL_TOKENS] == list(range(32))


@pytest.mark.parametrize("number", range(1000))
def test_a_number_below_1000_is_one_token(number: int) -> None:
    assert len(TOKENIZER.encode(f" {number}")) == 1
    assert TOKENIZER.token_id(f" {number}") == TOKENIZER.token_id(" 0") + number


def test_larger_numbers_and_glued_digits_are_several_tokens() -> None:
    assert len(TOKENIZER.encode(" 1000")) > 1
    assert len(TOKENIZER.encode("12")) == 2


@given(st.binary())
def test_every_byte_string_survives(data: bytes) -> None:
    text = data.decode("utf-8", errors="replace")
    assert TOKENIZER.decode(TOKENIZER.encode_untrusted(text)) == text
    # Each byte has a token of its own, so any byte string can be spelled, one token a byte.
    spelled = [TOKENIZER.find(_byte_token(byte)) for byte in data]
    assert None not in spelled
    ids = [token for token in spelled if token is not None]
    assert TOKENIZER.decode(ids) == data.decode("utf-8", errors="replace")


def _byte_token(byte: int) -> str:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = [other for other in range(256) if other not in printable]
    return chr(byte) if byte in printable else chr(256 + spare.index(byte))


@given(hostile)
def test_untrusted_text_never_holds_a_special_token(text: str) -> None:
    ids = TOKENIZER.encode_untrusted(text)
    assert not SPECIAL_IDS & set(ids)
    assert TOKENIZER.decode(ids) == text


@given(hostile)
def test_reading_untrusted_text_leaves_trusted_text_trusted(text: str) -> None:
    TOKENIZER.encode_untrusted(text)
    assert TOKENIZER.encode("<think>") == [SPECIAL_TOKENS.index("<think>")]


def test_plain_text_has_no_special_tokens() -> None:
    ids = TOKENIZER.encode("<think> 4 + 9\n</think> 13<|end|>")
    assert TOKENIZER.decode_plain(ids) == " 4 + 9\n 13"
    assert TOKENIZER.decode(ids) == "<think> 4 + 9\n</think> 13<|end|>"


def test_tokens_are_found_by_their_exact_name() -> None:
    assert TOKENIZER.find("<think>") == SPECIAL_TOKENS.index("<think>")
    assert TOKENIZER.find("<thought>") is None
    with pytest.raises(ValueError, match="not one"):
        TOKENIZER.token_id("strawberry")


def test_only_the_newline_ends_in_a_newline() -> None:
    assert TOKENIZER.ids_ending_in("\n") == [TOKENIZER.token_id("\n")]


def test_the_vocabulary_is_full_and_a_folder_gives_it_back(tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path)
    again = TextTokenizer.load(tmp_path)
    assert again.tokenizer.get_vocab_size() == VOCAB_SIZE
    assert again.tokenizer.to_str() == TOKENIZER.tokenizer.to_str()


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        TextTokenizer.load(tmp_path)
