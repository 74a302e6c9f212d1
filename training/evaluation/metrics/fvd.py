"""FVD: real and generated videos -> Frechet Video Distance (Unterthiner et al., 2019).

N videos, T frames, D features of a video (400 for I3D's logits). Numbers of different tool chains do not compare:
extractor, resizing and the number of videos all move them, so a result tells them.
"""

import dataclasses
import hashlib
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from numpy.typing import NDArray

from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.clips import Frames

I3D_FILE = "i3d_torchscript.pt"
I3D_SIDE_PX = 224
NUM_VIDEOS_OF_PAPER = 2048

Features = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrechetVideoDistance:
    """FVD, and how far it is to be trusted."""

    fvd: float
    """Smaller is nearer to the real videos."""
    bias: float
    """The distance of two halves of the real videos: what is measured where there is no difference, at half of N."""
    num_videos: int
    num_features: int


class I3D:
    """A TorchScript I3D as a feature extractor."""

    def __init__(self, path: Path, device: torch.device) -> None:
        """Load the file. Raises EvaluationError where it is no TorchScript."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # The published weights are TorchScript.
                self._network = torch.jit.load(str(path), map_location=device).eval()
        except (RuntimeError, ValueError, OSError) as error:
            raise EvaluationError(f"{path} is no TorchScript file that can be loaded: name that of I3D") from error
        self._device = device
        with path.open("rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()

    def extract(self, frames: Frames) -> Features:
        """Extract the features of one video, uint8 [T, H, W, 3]: float64 [D].

        Frames are resized to 224 x 224 (bilinear) and scaled to [-1, 1] here, so the network is told not to.
        """
        pixels = torch.from_numpy(frames).to(self._device).permute(0, 3, 1, 2).float() / 127.5 - 1
        side = (I3D_SIDE_PX, I3D_SIDE_PX)
        pixels = torch.nn.functional.interpolate(pixels, side, mode="bilinear", align_corners=False)
        video = pixels.permute(1, 0, 2, 3)[None]
        try:
            with torch.inference_mode():
                features = self._network(video, rescale=False, resize=False, return_features=True)
        except RuntimeError as error:
            raise EvaluationError(
                f"I3D cannot take {len(frames)} frames: it needs at least 10, and the TorchScript's arguments must be "
                "(videos, rescale, resize, return_features)"
            ) from error
        return np.asarray(features[0].double().cpu().numpy(), dtype=np.float64)


def find_i3d(name_or_path: str | Path) -> Path:
    """Find I3D's file: a path, a folder that holds `i3d_torchscript.pt`, or a hub repository that does.

    Raises EvaluationError where there is none.
    """
    path = Path(name_or_path)
    path = path / I3D_FILE if path.is_dir() else path
    if path.is_file():
        return path
    cause: Exception | None = None
    if re.fullmatch(r"[\w.-]+/[\w.-]+(?<!\.pt)", str(name_or_path)):
        try:
            return Path(hf_hub_download(str(name_or_path), I3D_FILE))
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            cause = error
    raise EvaluationError(
        f"no weights of I3D lie at {name_or_path}: name a TorchScript file, a folder with {I3D_FILE} in it, or a "
        "repository of the hub that can be reached"
    ) from cause


def measure_fvd(real: Features, generated: Features, warn: Callable[[str], None] | None = None) -> FrechetVideoDistance:
    """Measure FVD from the features of as many real as generated videos, float64 [N, D] each.

    Raises EvaluationError for fewer than D + 1 videos. Tells `warn` where there are fewer than the paper's 2,048: the
    distance grows as there are fewer.
    """
    if len(real) != len(generated):
        raise EvaluationError(
            f"there are {len(real)} real and {len(generated)} generated videos: FVD compares as many of either"
        )
    num_videos, num_features = real.shape
    refuse_too_few(num_videos, num_features)
    bias = frechet_distance(real[::2], real[1::2])
    if num_videos < NUM_VIDEOS_OF_PAPER and warn:
        warn(
            f"FVD of {num_videos:,} videos is biased upwards against that of {NUM_VIDEOS_OF_PAPER:,}: two halves of "
            f"the real videos are {bias:.4g} apart; compare it with FVD of as many videos only"
        )
    return FrechetVideoDistance(
        fvd=frechet_distance(real, generated), bias=bias, num_videos=num_videos, num_features=num_features
    )


def refuse_too_few(num_videos: int, num_features: int) -> None:
    """Raise EvaluationError for fewer than D + 1 videos, of which no covariance of full rank can be estimated."""
    if num_videos <= num_features:
        raise EvaluationError(
            f"FVD cannot be estimated from {num_videos} videos: a covariance of {num_features} features needs at "
            f"least {num_features + 1}, and the paper takes {NUM_VIDEOS_OF_PAPER:,}"
        )


def frechet_distance(features: Features, others: Features) -> float:
    """Measure the Frechet distance of two Gaussians fitted to features, [N, D] each, in float64.

    `|m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^1/2)`, with S the covariances of N - 1 (Dowson and Landau, 1982).
    """
    one, two = (np.asarray(each, dtype=np.float64) for each in (features, others))
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise EvaluationError("FVD cannot be computed: the features hold numbers that are not finite")
    mean = one.mean(axis=0) - two.mean(axis=0)
    covariances = [np.atleast_2d(np.cov(each, rowvar=False)) for each in (one, two)]
    root = _matrix_root(covariances[0] @ covariances[1])
    return float(mean @ mean + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * np.trace(root).real)


def _matrix_root(product: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Take the principal square root. scipy gives a matrix, or with its error, by version; real or complex."""
    root = scipy.linalg.sqrtm(product)
    return np.asarray(root[0] if isinstance(root, tuple) else root, dtype=np.complex128)
