"""Which fields of a config a resumed run may change, and which frozen parts it must have."""

import dataclasses
from pathlib import Path

import pytest

from training.checkpoint.resume import FINGERPRINTS, check_fingerprints, list_changes
from training.errors import TrainingError


@dataclasses.dataclass(frozen=True)
class Inner:
    variant: str = "full"
    added_later: str = "default"


@dataclasses.dataclass(frozen=True)
class Config:
    model: Inner = dataclasses.field(default_factory=Inner)
    seed: int = 0
    rate: float = 1e-3


PATH = Path("run/checkpoints/step-00000001")


def test_changes_are_listed_and_those_of_fixed_fields_refused_by_name():
    saved = dataclasses.asdict(Config())
    assert list_changes(saved, Config(), ("seed", "model"), PATH) == []
    assert list_changes(saved, Config(rate=1e-4), ("seed", "model"), PATH) == ["rate 0.001 -> 0.0001"]
    for config, message in (
        (Config(seed=1), "was written with seed 0, and this run has 1; use the same value, another --out, or"),
        (Config(model=Inner(variant="base")), r"was written with model\.variant full, and this run has base"),
    ):
        with pytest.raises(TrainingError, match=message):
            list_changes(saved, config, ("seed", "model"), PATH)


def test_fields_that_the_checkpoint_lacks_had_their_defaults():
    saved = {"model": {"variant": "full"}, "seed": 0}
    assert list_changes(saved, Config(), ("seed", "model"), PATH) == []
    with pytest.raises(TrainingError, match=r"model\.added_later default, and this run has other"):
        list_changes(saved, Config(model=Inner(added_later="other")), ("model",), PATH)


def test_another_part_is_refused_by_name_and_an_unknown_one_accepted():
    saved = {FINGERPRINTS: {"data set": "a" * 64, "tokenizer": "b" * 64}}
    check_fingerprints(saved, {"data set": "a" * 64, "autoencoder": "c" * 64}, PATH)
    check_fingerprints({}, {"data set": "a" * 64}, PATH)
    with pytest.raises(TrainingError, match=rf"{PATH} was written with another tokenizer \(SHA-256 b+, now c+\)"):
        check_fingerprints(saved, {"data set": "a" * 64, "tokenizer": "c" * 64}, PATH)
