"""Probe results of every clip: one column per field, indexed by clip number."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.decode.probe import ProbedClip
from curation.listing.clips import Clips
from shards.schema import Verdict

_VERDICTS: tuple[Verdict | None, ...] = (None, *Verdict)
_UNKNOWN = -1
DIGEST_BYTES = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is known of clips before they are decoded."""

    numbers: NDArray[np.int64]
    """Of the clips, [clips]; so is every other field."""
    keys: pa.Array
    num_frames: NDArray[np.int64]
    num_pixels: NDArray[np.int64]
    """Of one frame."""

    @property
    def num_pairs(self) -> NDArray[np.int64]:
        """Pairs that measuring each will take, if all its frames are sound."""
        return self.num_frames * (self.num_frames - 1) // 2

    def take(self, places: NDArray[np.int64]) -> "Sizes":
        """Choose some of them, by their places here."""
        columns = (self.numbers, self.num_frames, self.num_pixels)
        numbers, num_frames, num_pixels = (column[places] for column in columns)
        return Sizes(numbers=numbers, keys=self.keys.take(places), num_frames=num_frames, num_pixels=num_pixels)


class Verdicts:
    """A verdict, or none, and the reason in words, of some of a listing's clips."""

    def __init__(self, num_clips: int) -> None:
        self._codes = np.full(num_clips, _UNKNOWN, dtype=np.int8)
        self.details: dict[int, str] = {}
        """By the clip's number; most have none."""

    def put(self, number: int, verdict: Verdict | None, detail: str | None) -> None:
        """Enter what became of a clip."""
        self._codes[number] = _VERDICTS.index(verdict)
        if detail is not None:
            self.details[number] = detail
        else:
            self.details.pop(number, None)

    def __getitem__(self, number: int) -> Verdict | None:
        return _VERDICTS[int(self._codes[number])]

    def has(self, number: int) -> bool:
        """Tell whether something is entered of a clip."""
        return bool(self._codes[number] != _UNKNOWN)

    @property
    def known(self) -> NDArray[np.bool_]:
        """The clips of which something is entered, bool [clips]."""
        known: NDArray[np.bool_] = self._codes != _UNKNOWN
        return known

    def among(self, *verdicts: Verdict | None) -> NDArray[np.int64]:
        """Numbers of the clips with one of these verdicts, ascending."""
        return np.flatnonzero(np.isin(self._codes, [_VERDICTS.index(verdict) for verdict in verdicts]))


class Probed(Mapping[str, ProbedClip]):
    """What looking at the clips of a listing found out, by key."""

    def __init__(self, clips: Clips) -> None:
        num_clips = len(clips)
        self.clips = clips
        self.verdicts = Verdicts(num_clips)
        self.width, self.height, self.num_frames = (np.full(num_clips, _UNKNOWN, dtype=np.int32) for _ in range(3))
        """int32 [clips], -1 where it is not known."""
        self._sha256 = np.zeros(num_clips, dtype=f"V{DIGEST_BYTES}")
        self._has_sha256 = np.zeros(num_clips, dtype=bool)
        self._paths: dict[int, str] = {}

    def put(self, one: ProbedClip) -> None:
        """Enter what is known of a clip, in place of what was."""
        number = self.clips.number(one.clip_key)
        self.verdicts.put(number, one.verdict, one.detail)
        for column, value in ((self.width, one.width), (self.height, one.height), (self.num_frames, one.num_frames)):
            column[number] = _UNKNOWN if value is None else value
        self._has_sha256[number] = one.sha256 is not None
        if one.sha256 is not None:
            self._sha256[number] = bytes.fromhex(one.sha256)
        # Most lie where the listing says, and a million paths are a hundred megabytes.
        if one.path and one.path != self.clips.location(number):
            self._paths[number] = one.path
        else:
            self._paths.pop(number, None)

    def at(self, number: int) -> ProbedClip:
        """Tell what is known of a clip by its number."""
        key = self.clips.keys_in_order[number]
        return ProbedClip(
            clip_key=key,
            path=self._paths.get(number) or self.clips.location(number),
            sha256=self.digest(number),
            width=_known(self.width[number]),
            height=_known(self.height[number]),
            num_frames=_known(self.num_frames[number]),
            verdict=self.verdicts[number],
            detail=self.verdicts.details.get(number),
        )

    def digest(self, number: int) -> str | None:
        """Tell the SHA-256 of a clip's bytes, hexadecimal."""
        return self._sha256[number].tobytes().hex() if self._has_sha256[number] else None

    def __getitem__(self, key: str) -> ProbedClip:
        number = self.clips.number(key)
        if not self.verdicts.has(number):
            raise KeyError(key)
        return self.at(number)

    def __iter__(self) -> Iterator[str]:
        return (self.clips.keys_in_order[number] for number in np.flatnonzero(self.verdicts.known).tolist())

    def __len__(self) -> int:
        return int(self.verdicts.known.sum())

    @property
    def usable(self) -> NDArray[np.int64]:
        """Numbers of the clips that are worth decoding, ascending."""
        return self.verdicts.among(None)

    def sizes(self, numbers: NDArray[np.integer]) -> Sizes:
        """Tell how much work some clips are, by their numbers."""
        keys = self.clips.keys_in_order
        width, height, num_frames = (column[numbers] for column in (self.width, self.height, self.num_frames))
        return Sizes(
            numbers=numbers.astype(np.int64),
            keys=pa.array([keys[number] for number in numbers.tolist()], pa.string()),
            num_frames=np.maximum(num_frames, 0).astype(np.int64),
            num_pixels=np.maximum(width, 0).astype(np.int64) * np.maximum(height, 0),
        )


def _known(value: np.int32) -> int | None:
    return None if value == _UNKNOWN else int(value)
