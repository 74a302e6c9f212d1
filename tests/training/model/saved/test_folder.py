"""A model's folder: opened by diffusers alone, uploaded to a hub and opened from there, without code from outside."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import diffusers
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import cli
from tests.model_hub import model_hub  # noqa: F401
from tests.training.model.helpers import randomize_parameters
from training.model.config import ModelConfig, TrainedOn
from training.model.errors import ModelError
from training.model.factory import build_random, make_pipeline
from training.model.saved import load_pipeline, save_pipeline
from training.model.saved.card import Origin, make_card, make_notice
from training.model.saved.hub import push_folder

ORIGIN = Origin(
    base="stable-diffusion-v1-5/stable-diffusion-v1-5",
    autoencoder="stabilityai/sd-vae-ft-mse",
    num_steps=25_000,
    config={"seed": 0, "perceptual_weights": "/home/somebody/vgg19.safetensors"},
)
ALONE = Path(__file__).with_name("alone.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    parts = build_random(ModelConfig(motion_init="normal"), "tiny")
    randomize_parameters(parts.model.unet.conv_in)
    randomize_parameters(parts.model.warping)
    saved = tmp_path_factory.mktemp("saved") / "model"
    save_pipeline(make_pipeline(parts, TrainedOn(max_motion=9, width=64, height=64)), saved, ORIGIN)
    return saved


def generate_here(name_or_folder):
    pipeline = load_pipeline(name_or_folder)
    pipeline.set_progress_bar_config(disable=True)
    picture = Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3))
    return pipeline(picture, "a dog moves.", motion=[2, 9], num_inference_steps=2, seed=3, output_type="np").frames


def generate_alone(name_or_folder, out, **variables):
    packages = Path(diffusers.__file__).parent.parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    words = [sys.executable, "-I", "-S", ALONE, packages, name_or_folder, out]
    ended = subprocess.run(list(map(str, words)), env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Expected types" not in ended.stderr
    return np.load(out)


def test_diffusers_alone_opens_a_folder_offline_with_the_same_frames(folder, tmp_path):
    frames = generate_alone(folder, tmp_path / "frames.npy", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "hf"))
    np.testing.assert_allclose(frames, generate_here(folder), rtol=0, atol=1e-5)


def test_a_pushed_model_opens_from_the_hub_with_and_without_the_project(folder, tmp_path, model_hub):  # noqa: F811
    result = CliRunner().invoke(cli.app, ["push", str(folder), "me/cats", "--private"], catch_exceptions=False)
    assert result.stdout == f"The model is at {model_hub.url}/me/cats\n"
    uploaded = model_hub.repositories["me/cats"]
    assert model_hub.visibilities["me/cats"] == "private"
    assert {path: data for path, data in uploaded.items() if path != ".gitattributes"} == {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    expected = generate_here(folder)
    np.testing.assert_array_equal(generate_here("me/cats"), expected)
    np.testing.assert_allclose(generate_alone("me/cats", tmp_path / "frames.npy"), expected, rtol=0, atol=1e-5)


def test_code_of_a_model_is_not_run_by_this_project(folder, tmp_path, model_hub):  # noqa: F811
    push_folder(folder, "me/cats")
    for path in ("pipeline.py", "warping/warp.py", "motion_embedding/motion.py"):
        model_hub.repositories["me/cats"][path] = f"open({str(tmp_path / 'ran')!r}, 'w')".encode()
    load_pipeline("me/cats")
    assert not (tmp_path / "ran").exists()
    assert not list((tmp_path / "hf").rglob("*.py"))


def test_what_a_hub_refuses_is_one_sentence(folder, tmp_path, model_hub, monkeypatch):  # noqa: F811
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ModelError, match="refused me/cats with status 401; log in"):
        push_folder(folder, "me/cats")
    with pytest.raises(ModelError, match="'me/too/many' is not OWNER/NAME"):
        push_folder(folder, "me/too/many")
    with pytest.raises(ModelError, match="there is no model in"):
        push_folder(tmp_path, "me/cats")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(ModelError, match="the hub cannot be reached"):
        push_folder(folder, "me/cats")


@pytest.mark.parametrize("path", ["pipeline.py", "motion_embedding/motion.py", "warping/warp.py"])
def test_code_is_complete_and_names_are_defined_once(folder, path):
    tree = ast.parse((folder / path).read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    names += [target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    assert len(names) == len(set(names))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [module for module in modules if module.split(".")[0] in ("training", "shards", "curation")]


def test_the_card_names_range_size_and_licence_but_no_path(folder):
    card, notice = (folder / "README.md").read_text(), (folder / "NOTICE").read_text()
    assert 'license: "creativeml-openrail-m"' in card
    assert 'base_model: "stable-diffusion-v1-5/stable-diffusion-v1-5"' in card
    assert "2 to 9 pixels" in card
    assert "64 x 64" in card
    assert "somebody" not in card
    assert "Open RAIL-M" in notice
    assert "stabilityai/sd-vae-ft-mse" in notice
    local = Origin(base="/home/somebody/sd15")
    assert "somebody" not in make_card(local, TrainedOn(), "full") + make_notice(local)
    assert "random" in make_notice(Origin())


def test_a_scheduler_that_diffusers_does_not_have_raises(folder, tmp_path):
    for path in folder.rglob("*"):
        if path.is_file():
            (tmp_path / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path.relative_to(folder)).hardlink_to(path)
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "UNet2DConditionModel"]
    (tmp_path / "model_index.json").unlink()
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="its index, tokenizer or scheduler is missing or damaged"):
        load_pipeline(tmp_path)
