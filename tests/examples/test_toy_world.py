import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from curation.flow.reference import measure_motion, to_grey
from examples.toy_world.autoencoder import AutoencoderPlan, make_autoencoder, normalise_latents
from examples.toy_world.draw import DIRECTIONS, World, draw_frames, draw_world, list_kinds, plan_clips
from examples.toy_world.measure import GeneratedClip, measure_displacement, obeys_caption
from examples.toy_world.presets import PRESETS, VARIANTS
from examples.toy_world.weights import make_unet
from training.evaluation.inputs.val_pairs import ValPair
from training.trainer.config import resolve_config

ROOT = Path(__file__).resolve().parents[2]


def test_seed_determines_the_drawn_bytes(tmp_path):
    def draw(name: str, seed: int) -> dict[str, bytes]:
        draw_world(tmp_path / name, World(), num_train=4, num_val=2, seed=seed)
        paths = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in paths}

    first = draw("first", 0)
    assert len(first) == 4 + 2 + 3
    assert draw("again", 0) == first
    assert draw("other", 1)["gifs/train_00000.gif"] != first["gifs/train_00000.gif"]


def test_measured_motion_is_the_drawn_speed():
    errors = []
    for clip in plan_clips(World(), "train", 16, seed=3):
        grey = [to_grey(np.asarray(frame)) for frame in draw_frames(World(), clip)]
        for target in range(1, clip.num_frames):
            true = clip.speed * target
            if 2 <= true <= 10:
                errors.append(measure_motion(grey[0], grey[target])[0] - true)
    assert len(errors) > 50
    assert np.abs(errors).max() < 0.5
    assert np.sqrt(np.mean(np.square(errors))) < 0.1


def test_splits_share_no_kind_of_sprite_but_every_word():
    train, val = list_kinds()
    assert val
    assert not set(train) & set(val)
    for words in zip(*val, strict=True):
        assert set(words) <= {word for kind in train for word in kind}
    assert {clip.kind for clip in plan_clips(World(), "val", 50, 0)} <= set(val)
    assert {clip.kind for clip in plan_clips(World(), "train", 50, 0)} <= set(train)


@pytest.mark.parametrize("split", ["train", "val"])
def test_sprite_stays_in_the_image_in_every_direction_from_its_start(split):
    world = World()
    clips = plan_clips(world, split, 40, 0)
    assert {clip.direction for clip in clips} == set(DIRECTIONS)
    for clip in clips:
        for frame in range(clip.num_frames):
            assert all(world.radius <= place <= world.side - world.radius for place in clip.centre(frame))
        for x, y in DIRECTIONS.values():
            ends = (clip.start[0] + x * world.travel_px, clip.start[1] + y * world.travel_px)
            assert all(world.radius <= place <= world.side - world.radius for place in ends)


def test_frame_obeys_the_caption_if_the_sprite_moved_in_its_direction():
    clip = dataclasses.replace(plan_clips(World(), "train", 1, 0)[0], direction="left")
    frames = np.stack([np.asarray(frame) for frame in draw_frames(World(), clip)])
    x, y = measure_displacement(frames[0], frames[3])
    assert (x, y) == pytest.approx((-3 * clip.speed, 0), abs=0.2)
    assert measure_displacement(frames[0], frames[0]) is None

    def obeys(caption: str) -> list[bool]:
        pair = ValPair(key="k", caption=caption, source=frames[0], target=frames[1], motion_px=clip.speed)
        return obeys_caption(GeneratedClip(pair=pair, frames=frames[[0, 3]])).tolist()

    assert obeys("a red disc moves left over green grass") == [False, True]
    assert obeys("a red disc moves up over green grass") == [False, False]


def test_normalised_latents_are_standardised_and_decode_to_the_same_images():
    torch.manual_seed(0)
    vae = make_autoencoder(AutoencoderPlan(widths=(8, 8, 8)), 64).eval()
    clips = plan_clips(World(), "train", 8, 0)
    pictures = torch.stack(
        [torch.from_numpy(np.array(draw_frames(World(), clip)[0])).permute(2, 0, 1) for clip in clips]
    )
    images = pictures.float() / 127.5 - 1
    with torch.no_grad():
        before = vae.encode(images).latent_dist
        decoded = vae.decode(before.mean).sample
        normalise_latents(vae, pictures)
        after = vae.encode(images).latent_dist
        torch.testing.assert_close(vae.decode(after.mean).sample, decoded, rtol=1e-3, atol=1e-4)
    scale = before.mean.std((0, 2, 3))
    assert after.mean.mean((0, 2, 3)).numpy() == pytest.approx(np.zeros(4), abs=1e-3)
    assert after.mean.std((0, 2, 3)).numpy() == pytest.approx(np.ones(4), abs=1e-3)
    torch.testing.assert_close(after.std, before.std / scale[:, None, None], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_untrained_u_net_predicts_the_noisy_latent(preset):
    torch.manual_seed(0)
    plan = PRESETS[preset]().denoiser
    unet = make_unet(plan)
    noise = torch.randn(4, 4, 16, 16)
    with torch.no_grad():
        guess = unet(noise, torch.tensor(999), torch.randn(4, 77, plan.text_width)).sample
    assert float((guess - noise).square().mean()) < 0.01


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_valid_training_config(preset, tmp_path):
    chosen = PRESETS[preset]()
    (tmp_path / "toy.toml").write_text(chosen.training_toml())
    config = resolve_config("tiny", tmp_path / "toy.toml", {})
    assert not config.flip
    assert (config.max_steps, config.global_batch) == (chosen.max_steps, chosen.batch)
    assert (config.snr_gamma, config.perceptual_weight) == (chosen.snr_gamma, chosen.perceptual_weight)
    assert config.model.motion_init == chosen.motion_init


@pytest.mark.slow
def test_smoke_preset_runs_every_step_and_skips_finished_ones(tmp_path):
    command = [sys.executable, "-m", "examples.toy_world", "--preset", "smoke", "--out", str(tmp_path / "toy")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "toy" / "report.md").read_text(encoding="utf-8")
    outcomes = json.loads((tmp_path / "toy" / "outcomes.json").read_text(encoding="utf-8"))["outcomes"]
    assert [outcome["variant"] for outcome in outcomes] == list(VARIANTS)
    for outcome in outcomes:
        assert f"| {outcome['variant']} | {outcome['pearson']:.3f} | {outcome['rms_px']:.2f} |" in page
        assert (tmp_path / "toy" / "pictures" / f"sheet-{outcome['variant']}.png").exists()
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout.count("done before") == 6
    other = subprocess.run([*command, "--seed", "1"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert "another --out" in other.stderr
    assert "Traceback" not in other.stderr
