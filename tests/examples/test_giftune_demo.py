import dataclasses
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import cli
from examples.giftune_demo import measure
from examples.giftune_demo.__main__ import Demo
from examples.giftune_demo.compare import UNTUNED
from examples.giftune_demo.image_model import ImageModelPlan, make_image_model
from examples.giftune_demo.presets import PRESETS, PROMPTS
from examples.giftune_demo.world import GIF, WORLD, Pictures, draw_pictures, sprite_core, untouched_ground
from examples.toy_world.autoencoder import AutoencoderPlan
from examples.toy_world.draw import COLOURS, GROUNDS, SHAPES, Kind, draw_frames
from examples.toy_world.weights import DenoiserPlan
from training.giftune.clip import Clip
from training.giftune.config import resolve_config
from training.giftune.saved_run import read_run
from training.giftune.tuner import Tuner

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw_clip(**fields) -> np.ndarray:
    return np.stack([np.asarray(frame) for frame in draw_frames(WORLD, dataclasses.replace(GIF, **fields))])


def test_seed_determines_the_drawn_images():
    first, again, other = draw_pictures(6, 0), draw_pictures(6, 0), draw_pictures(6, 1)
    assert torch.equal(first.pixels, again.pixels)
    assert first.captions == again.captions != other.captions
    assert first.pixels.shape == (6, 3, 32, 32)
    assert (first.disparity.amax((1, 2)) == 1).all()
    assert set(first.captions).isdisjoint(draw_pictures(6, 0, held_out=True).captions)


@pytest.mark.parametrize("shape", SHAPES)
def test_ground_and_sprite_masks_hold_for_every_shape(shape):
    clip = draw_clip(kind=GIF.kind._replace(shape=shape))
    ground = clip[:, untouched_ground()].astype(int)
    assert untouched_ground().mean() > 0.3
    assert np.abs(ground - ground[0]).max() <= 1
    for number, frame in enumerate(clip):
        assert np.abs(frame[sprite_core(number)].astype(int) - GROUNDS["green grass"]).max(axis=1).min() > 40


def test_measures_of_the_gif_itself_have_no_error():
    clip = draw_clip()
    assert measure.measure_flicker(clip) < 0.02
    assert measure.measure_ground_change(clip, clip) == 0
    assert measure.measure_change_error(clip, clip) == 0
    assert measure.measure_change_error(clip[::-1], clip) > 5
    assert measure.measure_psnr(clip, clip) > 100
    assert measure.measure_path(clip) < 0.5
    assert measure.measure_path(clip[::-1]) > 8
    noisy = np.clip(clip.astype(int) + np.random.default_rng(0).integers(-9, 10, clip.shape), 0, 255).astype(np.uint8)
    assert measure.measure_flicker(noisy) == pytest.approx(6.3, abs=0.3)
    assert measure.measure_ground_change(noisy, clip) == pytest.approx(4.7, abs=0.3)
    assert 30 < measure.measure_psnr(noisy, clip) < 35


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("ground", GROUNDS)
def test_colours_are_recognised(colour, ground):
    clip = draw_clip(kind=GIF.kind._replace(colour=colour), ground=ground)
    assert (measure.name_colour(clip), measure.name_ground(clip)) == (colour, ground)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_valid_tuning_config(preset, tmp_path):
    chosen = PRESETS[preset]()
    (tmp_path / "tune.toml").write_text(chosen.tuning_toml("model", "depth"))
    config = resolve_config("tiny", tmp_path / "tune.toml", {"background_weight": 0.1})
    assert (config.max_steps, config.guidance, config.depth_model) == (chosen.tuning_steps, chosen.guidance, "depth")
    assert config.num_frames == GIF.num_frames


def call_here(*commands: list[str], threads: int | None = None) -> None:
    """Run the commands in this process, which has imported torch already."""
    for words in commands:
        assert Path(words[0]).name == "pix2gif"
        cli.app(words[1:], standalone_mode=False)


def test_smoke_preset_runs_every_step_and_reports_the_measures(tmp_path):
    preset = PRESETS["smoke"]()
    page = Demo(tmp_path / "demo", preset, seed=0, call=call_here).go().read_text(encoding="utf-8")
    figures = json.loads((tmp_path / "demo" / "figures.json").read_text(encoding="utf-8"))
    variants = (UNTUNED, *preset.variants)
    assert {(row["variant"], row["prompt"]) for row in figures["rows"]} == set(itertools.product(variants, PROMPTS))
    for row in figures["rows"]:
        assert f"| {row['psnr_db']:.3f} | {row['path_px']:.3f} | {row['flicker']:.3f} |" in page
    assert {row["variant"] for row in figures["losses"]} == set(variants)
    assert len(list((tmp_path / "demo" / "samples").glob("*.gif"))) == len(PROMPTS)
    assert all((tmp_path / "demo" / "pictures" / f"{variant}.png").exists() for variant in variants)


@pytest.mark.slow
def test_overfitted_model_reproduces_the_gif_but_not_for_another_prompt(tmp_path):
    """Overfit a small model to the GIF and to one other clip with the same motion, then tune it on the GIF.

    It has memorised 16 images, so the inverted noise gives the GIF for every prompt. The demo's model has learned a
    world, and there colour and ground follow the prompt.
    """
    other = dataclasses.replace(GIF, kind=Kind("square", "striped", "blue"), ground="brown earth")
    clips = [np.stack([np.asarray(frame) for frame in draw_frames(WORLD, clip)]) for clip in (GIF, other)]
    pixels = torch.from_numpy(np.concatenate(clips)).permute(0, 3, 1, 2).contiguous()
    known = Pictures(
        pixels=pixels,
        captions=[GIF.caption] * len(clips[0]) + [other.caption] * len(clips[1]),
        disparity=torch.zeros(len(pixels), WORLD.side, WORLD.side),
    )
    plan = ImageModelPlan(
        autoencoder=AutoencoderPlan(widths=(8, 16), crop_steps=300, whole_steps=0, crop_batch=16, learning_rate=4e-3),
        denoiser=DenoiserPlan(widths=(16, 32, 48), text_width=32),
        steps=500,
        batch=16,
    )
    make_image_model(tmp_path / "model", known, plan, 0, print)
    (tmp_path / "tune.toml").write_text(PRESETS["demo"]().tuning_toml(str(tmp_path / "model"), "none"))
    config = resolve_config("tiny", tmp_path / "tune.toml", {"max_steps": 30, "background_weight": 0.0})
    clip = Clip(frames=clips[0], durations_ms=np.full(GIF.num_frames, 100, np.int32), prompt=GIF.caption)
    Tuner(config, clip, tmp_path / "run").tune()
    run = read_run(tmp_path / "run")
    same, changed = run.sample(GIF.caption, guidance=1.0), run.sample(other.caption)
    assert measure.measure_psnr(same, clips[0]) > 34
    assert measure.measure_path(same) < 0.5
    assert (measure.name_colour(same), measure.name_ground(same)) == ("red", "green grass")
    assert measure.measure_psnr(changed, clips[0]) < measure.measure_psnr(same, clips[0]) - 2


@pytest.mark.slow
def test_command_skips_finished_steps(tmp_path):
    command = [sys.executable, "-m", "examples.giftune_demo", "--preset", "smoke", "--out", str(tmp_path / "demo")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == f"The result page is {tmp_path / 'demo' / 'report.md'}"
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout.count("done before") == len(Demo.STEPS)
    other = subprocess.run([*command, "--seed", "1"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert "another --out" in other.stderr
