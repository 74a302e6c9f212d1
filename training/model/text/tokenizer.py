"""CLIP tokenizers: one with a small vocabulary, for models with random weights, and the hash of any."""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from transformers import CLIPTokenizer

from shards.manifest import digest
from training.model.text.encoder import NUM_TOKENS, SMALL_NUMBERS, TENS, make_prompt, tokenize

_START, _END, _WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"

_WORDS = (
    *("the", "optical", "flow", "is", *SMALL_NUMBERS, *TENS, "hundred", "thousand", "and"),
    *("man", "woman", "girl", "boy", "cat", "dog", "ball", "texture", "square", "circle", "moves", "moving"),
    *("left", "right", "slowly", "quickly", "of", "with", "his", "her", "in", "on"),
)
"""Words with a token of their own: those of every prompt, which must fit into 77 tokens, and some of captions."""

_PROBE = "A man's Café,  2 balls: 球!"
"""Caption with capitals, an accent, a digit, spaces and a foreign letter, which tokenizers treat differently."""


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


def hash_tokenizer(tokenizer: CLIPTokenizer) -> str:
    """Return the SHA-256 of a tokenizer's vocabulary and merges, and of the token ids of one prompt."""
    # Later versions of transformers hold the merges in a Rust object, earlier ones in Python.
    if hasattr(tokenizer, "bpe_ranks"):
        merges = [" ".join(pair) for pair in tokenizer.bpe_ranks]
    else:
        saved = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in saved]
    ids = tokenize(tokenizer, [make_prompt(_PROBE, 7.9)]).tolist()
    return digest({"vocabulary": tokenizer.get_vocab(), "merges": merges, "ids": ids})


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
