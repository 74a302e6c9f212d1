"""A CLIP tokenizer made from nothing, for models with random weights: the same code as CLIP's, a small vocabulary."""

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
"""Words of one token each: those of every prompt, else it would not fit into 77 tokens, and some of captions."""


def make_tokenizer(words: Iterable[str] = ()) -> CLIPTokenizer:
    """Make a CLIP tokenizer that knows every byte, some words, and `words`; other words fall into letters.

    A word of `words` is one token, unless it is capitalised or has a sign other than letters in it.
    """
    merges = _find_merges((*_WORDS, *words))
    symbols = _list_byte_symbols()
    tokens = [*symbols, *(symbol + _WORD_END for symbol in symbols), *("".join(merge) for merge in merges)]
    tokens = [*dict.fromkeys(tokens), _START, _END]
    with tempfile.TemporaryDirectory() as folder:
        # The way through files is the one that all versions of transformers share.
        vocab = json.dumps({token: index for index, token in enumerate(tokens)}, ensure_ascii=False)
        Path(folder, "vocab.json").write_text(vocab, encoding="utf-8")
        lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
        Path(folder, "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=NUM_TOKENS)
    return tokenizer


def _find_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """List merges, in the order of their rank, that join each word from its letters.

    A word's letters go first through the merges of the words before it, which have the better ranks.
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
    """Join neighbours that are `merge`, left to right."""
    joined: list[str] = []
    for piece in pieces:
        if joined and (joined[-1], piece) == merge:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def _list_byte_symbols() -> list[str]:
    """List the 256 characters that stand for bytes in GPT-2's and CLIP's vocabularies (Radford et al., 2019)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(hidden))]
