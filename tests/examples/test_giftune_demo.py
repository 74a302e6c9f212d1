import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from examples.giftune_demo import measure
from examples.giftune_demo.presets import PRESETS, PROMPTS
from examples.giftune_demo.world import GIF, WORLD, draw_pictures, sprite_core, untouched_ground
from examples.toy_world.draw import COLOURS, GROUNDS, SHAPES, draw_frames
from training.giftune.config import resolve_config

ROOT = Path(__file__).resolve().parents[2]


def draw_clip(**fields) -> np.ndarray:
    return np.stack([np.asarray(frame) for frame in draw_frames(WORLD, dataclasses.replace(GIF, **fields))])


def test_pictures_are_a_function_of_the_seed_and_tell_what_is_near():
    first, again, other = draw_pictures(6, 0), draw_pictures(6, 0), draw_pictures(6, 1)
    assert torch.equal(first.pixels, again.pixels)
    assert first.captions == again.captions != other.captions
    assert first.pixels.shape == (6, 3, 32, 32)
    assert (first.disparity.amax((1, 2)) == 1).all()
    assert set(first.captions).isdisjoint(draw_pictures(6, 0, held_out=True).captions)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_counts_as_ground_and_as_sprite_is_so_for_every_shape(shape):
    clip = draw_clip(kind=GIF.kind._replace(shape=shape))
    ground = clip[:, untouched_ground()].astype(int)
    assert untouched_ground().mean() > 0.3
    assert np.abs(ground - ground[0]).max() <= 1
    for number, frame in enumerate(clip):
        assert np.abs(frame[sprite_core(number)].astype(int) - GROUNDS["green grass"]).max(axis=1).min() > 40


def test_the_gif_itself_is_still_where_it_should_be_and_goes_its_own_way():
    clip = draw_clip()
    assert measure.measure_flicker(clip) < 0.02
    assert measure.measure_ground_change(clip, clip) == 0
    assert measure.measure_psnr(clip, clip) > 100
    assert measure.measure_path(clip) < 0.5
    assert measure.measure_path(clip[::-1]) > 8
    noisy = np.clip(clip.astype(int) + np.random.default_rng(0).integers(-9, 10, clip.shape), 0, 255).astype(np.uint8)
    assert measure.measure_flicker(noisy) == pytest.approx(6.3, abs=0.3)
    assert measure.measure_ground_change(noisy, clip) == pytest.approx(4.7, abs=0.3)
    assert 30 < measure.measure_psnr(noisy, clip) < 35


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("ground", GROUNDS)
def test_colours_are_named_right(colour, ground):
    clip = draw_clip(kind=GIF.kind._replace(colour=colour), ground=ground)
    assert (measure.name_colour(clip), measure.name_ground(clip)) == (colour, ground)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_config_of_the_tuner(preset, tmp_path):
    chosen = PRESETS[preset]()
    (tmp_path / "tune.toml").write_text(chosen.tuning_toml("model", "depth"))
    config = resolve_config("tiny", tmp_path / "tune.toml", {"background_weight": 0.1})
    assert (config.max_steps, config.guidance, config.depth_model) == (chosen.tuning_steps, chosen.guidance, "depth")
    assert config.num_frames == GIF.num_frames


@pytest.mark.slow
def test_the_smoke_preset_goes_from_drawing_to_the_result_page_and_finds_what_it_has_done(tmp_path):
    command = [sys.executable, "-m", "examples.giftune_demo", "--preset", "smoke", "--out", str(tmp_path / "demo")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads((tmp_path / "demo" / "figures.json").read_text(encoding="utf-8"))
    preset = PRESETS["smoke"]()
    assert {(row["variant"], row["prompt"]) for row in figures["rows"]} == {
        (variant, prompt) for variant in preset.variants for prompt in PROMPTS
    }
    page = (tmp_path / "demo" / "report.md").read_text(encoding="utf-8")
    for row in figures["rows"]:
        assert f"{row['psnr_db']:.3f}" in page
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout.count("done before") == 7
    other = subprocess.run([*command, "--seed", "1"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert "another --out" in other.stderr
