"""A caption and a motion magnitude -> a prompt -> token ids -> text embeddings.

B prompts, 77 tokens, D the text model's width (768 for Stable Diffusion 1.x).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from training.model.errors import ModelError

NUM_TOKENS = 77

# fmt: off
SMALL_NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
# fmt: on
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def spell(number: int) -> str:
    """Write a whole number from 0 to 9999 in English words: `twenty-one`, `one hundred and seven`."""
    if not 0 <= number <= 9999:
        raise ModelError(f"the number {number} cannot be put in words; only 0 to 9999 can")
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


def whole_motion(motion_px: float) -> int:
    """Cut a motion magnitude in pixels to the whole number that the prompt and the embedding know it by."""
    if not math.isfinite(motion_px) or motion_px < 0:
        raise ModelError(f"the motion {motion_px} is no magnitude; it must be 0 or more pixels")
    return int(motion_px)


def make_prompt(caption: str, motion_px: float) -> str:
    """Append the motion to the caption, in words, which CLIP tells apart better than digits (Pix2Gif, section 3.3).

    The magnitude is cut to a whole number: 7.9 pixels are "seven".
    """
    return f"{caption} The optical flow is {spell(whole_motion(motion_px))}."


def tokenize(tokenizer: CLIPTokenizer, prompts: Sequence[str]) -> Tensor:
    """Turn prompts into token ids, int64 [B, 77], padded and cut to 77 tokens with the two marks included."""
    ids: Tensor = tokenizer(
        list(prompts), padding="max_length", max_length=NUM_TOKENS, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


def check_tokenizer(tokenizer: CLIPTokenizer) -> None:
    """Raise ModelError where a tokenizer has no vocabulary or no merges.

    transformers makes one, and says nothing, from a folder without its files; every prompt would be the same to it.
    """
    tokens = tokenizer.tokenize("the")
    if len(tokens) != 1 or tokens[0] == tokenizer.unk_token:
        raise ModelError("the tokenizer has no vocabulary: its files are missing, or torn")


def count_cut_tokens(tokenizer: CLIPTokenizer, prompts: Sequence[str]) -> list[int]:
    """Count, for each prompt, the tokens that `tokenize` cuts from its end, where the motion stands."""
    ids = tokenizer(list(prompts), padding=False, truncation=False, verbose=False).input_ids
    return [max(0, len(row) - NUM_TOKENS) for row in ids]


def encode_text(text_encoder: CLIPTextModel, token_ids: Tensor) -> Tensor:
    """Encode token ids [B, 77] with the frozen text model: c_T, [B, 77, D]. No gradient."""
    with torch.no_grad():
        embeds: Tensor = text_encoder(token_ids.to(text_encoder.device))[0]
    return embeds


def encode_null_text(tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel) -> Tensor:
    """Encode the empty prompt, which stands for a dropped text: [1, 77, D]."""
    return encode_text(text_encoder, tokenize(tokenizer, [""]))
