import pytest
import torch
from transformers import CLIPTokenizer

from training.model.errors import ModelError
from training.model.text.encoder import (
    check_tokenizer,
    count_cut_tokens,
    encode_null_text,
    encode_text,
    make_prompt,
    spell,
    tokenize,
)
from training.model.text.tokenizer import hash_tokenizer, make_tokenizer


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (7, "seven"),
        (13, "thirteen"),
        (20, "twenty"),
        (21, "twenty-one"),
        (100, "one hundred"),
        (107, "one hundred and seven"),
        (999, "nine hundred and ninety-nine"),
        (1000, "one thousand"),
        (1023, "one thousand and twenty-three"),
        (9999, "nine thousand, nine hundred and ninety-nine"),
    ],
)
def test_numbers_are_spelled(number, words):
    assert spell(number) == words


def test_different_numbers_have_different_words():
    assert len({spell(number) for number in range(10_000)}) == 10_000


@pytest.mark.parametrize("number", [-1, 10_000])
def test_numbers_out_of_range_raise(number):
    with pytest.raises(ModelError, match="0 to 9999"):
        spell(number)


def test_the_prompt_has_the_wording_of_the_paper():
    assert make_prompt("a cat jumps.", 7.9) == "a cat jumps. The optical flow is seven."
    assert make_prompt("a cat jumps.", 13) == "a cat jumps. The optical flow is thirteen."


@pytest.mark.parametrize("motion", [-0.5, float("nan"), float("inf")])
def test_invalid_magnitudes_raise(motion):
    with pytest.raises(ModelError, match="must be 0 or more pixels"):
        make_prompt("a cat", motion)


def test_prompts_are_padded_or_truncated_to_77_tokens():
    tokenizer = make_tokenizer()
    long = "dog " * 100
    ids = tokenize(tokenizer, ["dog", long])
    assert ids.shape == (2, 77)
    assert ids.dtype == torch.int64
    assert ids[:, 0].tolist() == [tokenizer.bos_token_id] * 2
    assert ids[0, 2:].tolist() == [tokenizer.eos_token_id] * 75
    assert count_cut_tokens(tokenizer, ["dog", long]) == [0, 25]


def test_a_tokenizer_without_vocabulary_raises():
    check_tokenizer(make_tokenizer())
    with pytest.raises(ModelError, match="no vocabulary"):
        check_tokenizer(CLIPTokenizer())


def test_the_hash_of_a_tokenizer_depends_on_vocabulary_and_merges(tmp_path):
    sha256 = hash_tokenizer(make_tokenizer())
    assert hash_tokenizer(make_tokenizer()) == sha256
    assert hash_tokenizer(make_tokenizer(["zebra"])) != sha256
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    assert hash_tokenizer(CLIPTokenizer.from_pretrained(tmp_path)) == sha256


def test_prompts_of_different_motion_differ_in_one_token():
    tokenizer = make_tokenizer()
    first, second = tokenize(tokenizer, [make_prompt("a dog moves", 4), make_prompt("a dog moves", 15)])
    assert (first != second).sum() == 1


def test_text_embeddings_have_no_gradient(build):
    parts = build()
    embeds = encode_text(parts.text_encoder, tokenize(parts.tokenizer, ["a dog", ""]))
    null = encode_null_text(parts.tokenizer, parts.text_encoder)
    assert embeds.shape == (2, 77, 32)
    assert null.shape == (1, 77, 32)
    assert not embeds.requires_grad
    torch.testing.assert_close(embeds[1:], null)
