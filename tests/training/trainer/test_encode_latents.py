import json
import shutil
from dataclasses import replace

import pytest

from shards.storage.location import ObjectPath
from tests.bucket import upload_tree
from tests.training.giftune.helpers import save_parts
from tests.training.helpers import read_losses
from training.data import DataConfig, open_data
from training.data.latent_format import read_latent_manifest
from training.errors import TrainingError
from training.model.pretrained.stable_diffusion import make_random_stable_diffusion
from training.model.text.tokenizer import make_tokenizer
from training.trainer.config import tiny
from training.trainer.encode_latents import choose_workers, encode_dataset
from training.trainer.trainer import Trainer


@pytest.fixture(scope="module")
def latents(small_shards, tmp_path_factory):
    out = tmp_path_factory.mktemp("latents") / "out"
    encode_dataset(small_shards, out, tiny(), map, progress=lambda n: None)
    return out


def test_latents_and_pictures_give_the_same_losses_to_rounding(small_shards, latents, tmp_path, make_config):
    for name, location in (("pictures", small_shards), ("latents", latents)):
        Trainer(make_config(max_steps=5), str(location), tmp_path / name).train()
    assert read_losses(tmp_path / "latents") == pytest.approx(read_losses(tmp_path / "pictures"), abs=1e-3)


def test_latents_keep_the_range_of_motion(small_shards, latents):
    configs = (
        DataConfig(location=str(path), seed=0, global_batch=1, micro_batch=1) for path in (small_shards, latents)
    )
    pictures, cached = (open_data(config) for config in configs)
    assert pictures.motion_range == cached.motion_range


def test_a_finished_cache_is_kept_and_a_different_one_refused(small_shards, latents):
    assert encode_dataset(small_shards, latents, tiny(), map, progress=lambda n: None) is None
    with pytest.raises(TrainingError, match="another data set, autoencoder or tokenizer"):
        encode_dataset(small_shards, latents, replace(tiny(), seed=1), map, progress=lambda n: None)


def test_an_interrupted_run_resumes_and_writes_the_same_cache(small_shards, latents, tmp_path):
    class StopError(Exception):
        pass

    def stop_after_two_shards(function, tasks):
        for number, task in enumerate(tasks):
            if number == 2:
                raise StopError
            yield function(task)

    with pytest.raises(StopError):
        encode_dataset(small_shards, tmp_path, tiny(), stop_after_two_shards, progress=lambda n: None)
    records = list((tmp_path / ".work").glob("*.tar.json"))
    assert len(records) == 2
    encode_dataset(small_shards, tmp_path, tiny(), map, progress=lambda n: None)
    assert read_latent_manifest(tmp_path) == read_latent_manifest(latents)
    assert json.loads((tmp_path / "latents.json").read_text())["has_flips"] is True


def test_data_set_in_a_bucket_gives_the_same_latents(s3, small_shards, latents, tmp_path):
    upload_tree(s3, small_shards, "shards")
    encode_dataset(ObjectPath("s3://bucket/shards"), tmp_path, tiny(), map, progress=lambda n: None)
    assert read_latent_manifest(tmp_path) == read_latent_manifest(latents)


def test_a_run_goes_on_with_the_latents_of_its_pictures(small_shards, latents, tmp_path, make_config):
    Trainer(make_config(max_steps=1), str(small_shards), tmp_path).train()
    assert Trainer(make_config(max_steps=2), str(latents), tmp_path).train().step == 2


def test_latents_of_another_autoencoder_or_tokenizer_are_refused(latents, tmp_path, make_config):
    parts = make_random_stable_diffusion("tiny", seed=0)
    config = make_config(pretrained=str(save_parts(parts, tmp_path / "same")))
    assert Trainer(config, str(latents), tmp_path / "run").state.step == 0
    other = save_parts(parts, tmp_path / "vae", vae=make_random_stable_diffusion("tiny", seed=1).vae)
    with pytest.raises(TrainingError, match=r"was encoded with another autoencoder, random tiny, seed 0; name it with"):
        Trainer(make_config(pretrained=str(other)), str(latents), tmp_path / "run")
    other = save_parts(parts, tmp_path / "words", tokenizer=make_tokenizer(["zebra"]))
    with pytest.raises(TrainingError, match="was made with another tokenizer; name its model with --pretrained"):
        Trainer(make_config(pretrained=str(other)), str(latents), tmp_path / "run")


def test_latents_of_an_earlier_version_are_refused(latents, tmp_path, make_config):
    shutil.copytree(latents, tmp_path / "old")
    fields = json.loads((latents / "latents.json").read_text())
    del fields["tokenizer_sha256"]
    (tmp_path / "old" / "latents.json").write_text(json.dumps(fields))
    with pytest.raises(TrainingError, match="of an earlier version, which did not record its tokenizer"):
        Trainer(make_config(), str(tmp_path / "old"), tmp_path / "run")


@pytest.mark.parametrize(
    ("num_requested", "num_gpus", "expected"),
    [
        (None, 0, (0, 0.0)),
        (None, 1, (0, 0.0)),
        (None, 8, (8, 1.0)),
        (0, 8, (0, 0.0)),
        (4, 0, (4, 0.0)),
        (4, 8, (4, 1.0)),
        (4, 1, (4, 0.25)),
        (4, 3, (4, 0.5)),
    ],
)
def test_the_default_is_one_worker_for_each_of_several_gpus(num_requested, num_gpus, expected):
    assert choose_workers(num_requested, num_gpus) == expected
