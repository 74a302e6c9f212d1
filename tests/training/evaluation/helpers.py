"""Small random networks, drawn videos and folders of frames, and the commands of `pix2gif evaluate`."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from click.testing import Result
from PIL import Image
from transformers import CLIPConfig, CLIPModel, XCLIPConfig, XCLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.videomae.image_processing_pil_videomae import VideoMAEImageProcessorPil
from typer.testing import CliRunner

from examples.draw_gifs import texture
from training.commands.evaluate import evaluate_app
from training.model.text.tokenizer import make_tokenizer

NUM_FEATURES = 6
_SIDE = 32
_TEXT = {
    "vocab_size": 2048,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
_VISION = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
    "image_size": _SIDE, "patch_size": 16,
}  # fmt: skip


def evaluate(*words: object) -> Result:
    """Run a command of `pix2gif evaluate` in this process. Its exceptions propagate; cli.py prints them as errors."""
    return CliRunner().invoke(evaluate_app, [str(word) for word in words], catch_exceptions=False)


class SmallI3D(torch.nn.Module):
    """Takes the arguments of the published I3D. Six features: colour means, changes in time and space, contrast."""

    def forward(
        self, x: torch.Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> torch.Tensor:
        assert not rescale
        assert not resize
        assert return_features
        assert x.shape[1] == 3
        assert x.shape[3:] == [224, 224]
        means = x.mean(dim=[2, 3, 4])
        moved = (x[:, :, 1:] - x[:, :, :-1]).abs().mean(dim=[1, 2, 3, 4])
        rough = (x[:, :, :, 1:] - x[:, :, :, :-1]).abs().mean(dim=[1, 2, 3, 4])
        return torch.cat([means, torch.stack([moved, rough, x.std(dim=[1, 2, 3, 4])], dim=1)], dim=1) * 10


def save_i3d(path: Path) -> Path:
    torch.jit.save(torch.jit.script(SmallI3D()), str(path))
    return path


def save_clip(folder: Path, seed: int = 0) -> Path:
    """Save a small random CLIP with tokenizer and image processor."""
    tokenizer = make_tokenizer()
    text = {**_TEXT, "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        CLIPModel(CLIPConfig(text_config=text, vision_config=_VISION, projection_dim=16)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": _SIDE}, crop_size=_SIDE).save_pretrained(folder)
    return folder


def save_x_clip(folder: Path, seed: int = 1) -> Path:
    """Save a small random X-CLIP with its image processor, which is that of VideoMAE."""
    vision = {
        **_VISION, "num_frames": 8, "mit_hidden_size": 16, "mit_intermediate_size": 32, "mit_num_attention_heads": 2,
    }  # fmt: skip
    text = {**_TEXT, "bos_token_id": 0, "eos_token_id": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        XCLIPModel(XCLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(folder)
    VideoMAEImageProcessorPil(
        size={"shortest_edge": _SIDE}, crop_size={"height": _SIDE, "width": _SIDE}
    ).save_pretrained(folder)
    return folder


def draw_frames(offsets: Sequence[float], seed: int = 0, side: int = 64, height: int | None = None) -> np.ndarray:
    """Draw a texture shifted to the right by each offset in pixels: uint8 [T, H, W, 3]."""
    y, x = np.mgrid[0 : height or side, 0:side].astype(np.float64)
    return np.stack([texture(x - offset, y, seed) for offset in offsets])


def save_frames(folder: Path, frames: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{index}.png")
    return folder


def save_gif(path: Path, frames: np.ndarray) -> Path:
    first, *others = (Image.fromarray(frame).quantize(256) for frame in frames)
    first.save(path, save_all=True, append_images=others, duration=100)
    return path


def save_video(path: Path, frames: np.ndarray, codec: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def draw_ucf101(folder: Path, num_videos: int, num_frames: int = 12) -> Path:
    """Draw videos in the layout of UCF-101: one folder of .avi (XVID) for each class. The last video is too short."""
    names = ("ApplyEyeMakeup", "Archery", "YoYo")
    for number in range(num_videos + 1):
        length = num_frames if number < num_videos else 2
        name = names[number % len(names)]
        path = folder / "UCF-101" / name / f"v_{name}_g{number // 3 + 1:02d}_c01.avi"
        save_video(
            path, draw_frames([number * 0.1 * t for t in range(length)], seed=number, side=80, height=60), "XVID"
        )
    return folder


def draw_msrvtt(folder: Path, num_videos: int, num_frames: int = 12) -> Path:
    """Draw videos in the layout of MSR-VTT: a JSON with videos and sentences, and .mp4 files. The last is in train."""
    videos, sentences = [], []
    for number in range(num_videos + 1):
        key = f"video{7010 + number}"
        videos.append({"video_id": key, "split": "test" if number < num_videos else "train", "category": 3})
        sentences += [
            {"video_id": key, "caption": f"a dog runs {number} {n}", "sen_id": 20 * number + n} for n in (0, 1)
        ]
        frames = draw_frames([number * 0.2 * t for t in range(num_frames)], seed=50 + number, side=80, height=60)
        save_video(folder / "TestVideo" / f"{key}.mp4", frames, "mp4v")
    (folder / "test_videodatainfo.json").write_text(json.dumps({"videos": videos, "sentences": sentences}))
    return folder
