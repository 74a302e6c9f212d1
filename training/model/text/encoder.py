"""Text conditioning: a caption and a motion magnitude -> prompt -> token ids -> text embeddings c_T.

B prompts of 77 tokens, D: width of the text model (768 for Stable Diffusion 1.x).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from training.model.errors import ModelError

NUM_TOKENS = 77
"""Tokens that CLIP reads, including the start and end tokens."""

# fmt: off
SMALL_NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
# fmt: on
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def spell(number: int) -> str:
    """Return a whole number from 0 to 9999 in English words: `twenty-one`, `one hundred and seven`.

    Raises ModelError for any other number.
    """
    if not 0 <= number <= 9999:
        raise ModelError(f"the number {number} cannot be written in words; it must be 0 to 9999")
    if number < 20:
        return SMALL_NUMBERS[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens - 2] + (f"-{SMALL_NUMBERS[ones]}" if ones else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{SMALL_NUMBERS[hundreds]} hundred" + (f" and {spell(rest)}" if rest else "")
    thousands, rest = divmod(number, 1000)
    joint = ", " if rest >= 100 else " and "
    return f"{SMALL_NUMBERS[thousands]} thousand" + (f"{joint}{spell(rest)}" if rest else "")


def truncate_motion(motion_px: float) -> int:
    """Truncate a motion magnitude in pixels to a whole number, as prompt and embedding use it. Raises ModelError."""
    if not math.isfinite(motion_px) or motion_px < 0:
        raise ModelError(f"the motion is {motion_px}; it must be 0 or more pixels")
    return int(motion_px)


def make_prompt(caption: str, motion_px: float) -> str:
    """Append the motion to the caption in words, which CLIP distinguishes better than digits (Pix2Gif, section 3.3).

    The magnitude is truncated to a whole number: 7.9 pixels become "seven".
    """
    return f"{caption} The optical flow is {spell(truncate_motion(motion_px))}."


def tokenize(tokenizer: CLIPTokenizer, prompts: Sequence[str]) -> Tensor:
    """Return token ids of prompts, int64 [B, 77], padded or truncated, with start and end tokens."""
    ids: Tensor = tokenizer(
        list(prompts), padding="max_length", max_length=NUM_TOKENS, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


def check_tokenizer(tokenizer: CLIPTokenizer) -> None:
    """Raise ModelError if a tokenizer has no vocabulary or no merges.

    From a folder without its files, transformers silently makes such a tokenizer, which encodes all prompts alike.
    """
    tokens = tokenizer.tokenize("the")
    if len(tokens) != 1 or tokens[0] == tokenizer.unk_token:
        raise ModelError("the tokenizer has no vocabulary; its files are missing or damaged")


def count_cut_tokens(tokenizer: CLIPTokenizer, prompts: Sequence[str]) -> list[int]:
    """Return, for each prompt, how many tokens `tokenize` cuts off its end, which holds the motion."""
    ids = tokenizer(list(prompts), padding=False, truncation=False, verbose=False).input_ids
    return [max(0, len(row) - NUM_TOKENS) for row in ids]


def encode_text(text_encoder: CLIPTextModel, token_ids: Tensor) -> Tensor:
    """Encode token ids with the frozen text model: [B, 77] -> c_T [B, 77, D]. No gradient."""
    with torch.no_grad():
        embeds: Tensor = text_encoder(token_ids.to(text_encoder.device))[0]
    return embeds


def encode_null_text(tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel) -> Tensor:
    """Encode the empty prompt, which replaces a dropped text: [1, 77, D]."""
    return encode_text(text_encoder, tokenize(tokenizer, [""]))
