import json
from dataclasses import replace

import pytest

from shards.location import ObjectPath
from tests.bucket import upload_tree
from tests.training.trainer.test_trainer import losses
from training.data.latent_format import read_latent_manifest
from training.errors import TrainingError
from training.trainer.config import tiny
from training.trainer.encode_latents import choose_workers, encode_dataset
from training.trainer.trainer import Trainer


@pytest.fixture(scope="module")
def latents(small_shards, tmp_path_factory):
    out = tmp_path_factory.mktemp("latents") / "out"
    encode_dataset(small_shards, out, tiny(), map, done=lambda n: None)
    return out


def test_latents_and_pictures_give_the_same_losses_to_rounding(small_shards, latents, tmp_path, quick):
    for name, location in (("pictures", small_shards), ("latents", latents)):
        Trainer(quick(max_steps=5), str(location), tmp_path / name).train()
    assert losses(tmp_path / "latents") == pytest.approx(losses(tmp_path / "pictures"), abs=1e-3)


def test_a_finished_cache_is_left_alone_and_another_is_refused(small_shards, latents):
    assert encode_dataset(small_shards, latents, tiny(), map, done=lambda n: None) is None
    with pytest.raises(TrainingError, match="another data set or autoencoder"):
        encode_dataset(small_shards, latents, replace(tiny(), seed=1), map, done=lambda n: None)


def test_an_interrupted_cache_goes_on_and_is_the_same(small_shards, latents, tmp_path):
    class StopError(Exception):
        pass

    def stop_after_two(function, tasks):
        for number, task in enumerate(tasks):
            if number == 2:
                raise StopError
            yield function(task)

    with pytest.raises(StopError):
        encode_dataset(small_shards, tmp_path, tiny(), stop_after_two, done=lambda n: None)
    receipts = list((tmp_path / ".work").iterdir())
    assert len(receipts) == 2
    encode_dataset(small_shards, tmp_path, tiny(), map, done=lambda n: None)
    assert read_latent_manifest(tmp_path) == read_latent_manifest(latents)
    assert json.loads((tmp_path / "latents.json").read_text())["has_flips"] is True


def test_data_set_in_a_bucket_gives_the_same_latents(s3, small_shards, latents, tmp_path):
    upload_tree(s3, small_shards, "shards")
    encode_dataset(ObjectPath("s3://bucket/shards"), tmp_path, tiny(), map, done=lambda n: None)
    assert read_latent_manifest(tmp_path) == read_latent_manifest(latents)


@pytest.mark.parametrize(
    ("asked", "num_gpus", "chosen"),
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
def test_each_gpu_has_a_worker_unless_others_are_asked_for(asked, num_gpus, chosen):
    assert choose_workers(asked, num_gpus) == chosen
