"""A CLIP tokenizer with a small vocabulary, for models with random weights."""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from transformers import CLIPTokenizer

from training.model.text import NUM_TOKENS, SMALL_NUMBERS, TENS

_START, _END, _WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"

_WORDS = (
    *("the", "optical", "flow", "is", *SMALL_NUMBERS, *TENS, "hundred", "thousand", "and"),
    *("man", "woman", "girl", "boy", "cat", "dog", "ball", "texture", "square", "circle", "moves", "moving"),
    *("left", "right", "slowly", "quickly", "of", "with", "his", "her", "in", "on"),
)
"""Words with a token of their own: those of every prompt, which must fit into 77 tokens, and some of captions."""


def make_tokenizer(words: Iterable[str] = ()) -> CLIPTokenizer:
    """Make a CLIP tokenizer with a token for every byte, for some common words, and for each of `words`.

    Other words are split into letters. Entries of `words` must be lower case and consist of letters.
    """
    merges = _find_merges((*_WORDS, *words))
    symbols = _list_byte_symbols()
    tokens = [*symbols, *(symbol + _WORD_END for symbol in symbols), *("".join(merge) for merge in merges)]
    tokens = [*dict.fromkeys(tokens), _START, _END]
    with tempfile.TemporaryDirectory() as folder:
        # Loading from files works in all versions of transformers.
        vocab = json.dumps({token: index for index, token in enumerate(tokens)}, ensure_ascii=False)
        Path(folder, "vocab.json").write_text(vocab, encoding="utf-8")
        lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
        Path(folder, "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=NUM_TOKENS)
    return tokenizer


def _find_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Return the merges that build each word from its letters, in order of rank.

    The merges of earlier words have better ranks, so they are applied to each word first.
    """
    merges: list[tuple[str, str]] = []
    for word in words:
        pieces = [*word[:-1], word[-1] + _WORD_END]
        for merge in merges:
            pieces = _merge(pieces, merge)
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces = _merge(pieces, merges[-1])
    return merges


def _merge(pieces: list[str], merge: tuple[str, str]) -> list[str]:
    """Join all neighbours that equal `merge`, from left to right."""
    joined: list[str] = []
    for piece in pieces:
        if joined and (joined[-1], piece) == merge:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def _list_byte_symbols() -> list[str]:
    """Return the 256 characters that represent bytes in the vocabularies of GPT-2 and CLIP (Radford et al., 2019)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(hidden))]
