"""Probe results of every clip: one column per field, indexed by clip number."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.decode.probe import ProbedClip
from curation.file_format import FileFormat
from curation.listing.clips import Clips
from shards.interface.credentials import redact
from shards.interface.printable import printable
from shards.schema import Verdict

_VERDICTS: tuple[Verdict | None, ...] = (None, *Verdict)
_FORMATS = tuple(FileFormat)
_UNKNOWN = -1
DIGEST_BYTES = 32
MAX_DETAIL_CHARS = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipSizes:
    """Sizes of N clips, known before they are decoded."""

    numbers: NDArray[np.int64]
    """Clip numbers, int64 [N]."""
    keys: pa.Array
    """Clip keys, string [N]."""
    num_frames: NDArray[np.int64]
    """Frames of each clip, int64 [N]."""
    num_pixels: NDArray[np.int64]
    """Pixels of one frame of each clip, int64 [N]."""

    @property
    def num_pairs(self) -> NDArray[np.int64]:
        """Pairs of each clip to measure, int64 [N], if all frames can be decoded."""
        return self.num_frames * (self.num_frames - 1) // 2

    def take(self, indices: NDArray[np.int64]) -> "ClipSizes":
        """Return the sizes of the clips at the given indices, int64 [M], in that order."""
        columns = (self.numbers, self.num_frames, self.num_pixels)
        numbers, num_frames, num_pixels = (column[indices] for column in columns)
        return ClipSizes(numbers=numbers, keys=self.keys.take(indices), num_frames=num_frames, num_pixels=num_pixels)


class Verdicts:
    """Verdicts and their details, indexed by clip number. A clip may have none yet."""

    def __init__(self, num_clips: int) -> None:
        self._codes = np.full(num_clips, _UNKNOWN, dtype=np.int8)
        self.details: dict[int, str] = {}
        """By clip number; most clips have none."""

    def record(self, number: int, verdict: Verdict | None, detail: str | None) -> None:
        """Set the verdict of a clip, replacing an earlier one. None: the clip is usable.

        The detail may quote a server, a file or an exception: it is redacted, made printable and
        cut to MAX_DETAIL_CHARS.
        """
        self._codes[number] = _VERDICTS.index(verdict)
        if detail is not None:
            self.details[number] = printable(redact(detail).replace("\n", " "), MAX_DETAIL_CHARS)
        else:
            self.details.pop(number, None)

    def __getitem__(self, number: int) -> Verdict | None:
        return _VERDICTS[int(self._codes[number])]

    def has(self, number: int) -> bool:
        """Return whether a clip has been recorded."""
        return bool(self._codes[number] != _UNKNOWN)

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Whether each clip has been recorded, bool [clips]."""
        is_known: NDArray[np.bool_] = self._codes != _UNKNOWN
        return is_known

    def find(self, *verdicts: Verdict | None) -> NDArray[np.int64]:
        """Return the numbers of the clips with one of these verdicts, ascending."""
        return np.flatnonzero(np.isin(self._codes, [_VERDICTS.index(verdict) for verdict in verdicts]))


class ProbeResults(Mapping[str, ProbedClip]):
    """Probe results by clip key, stored in columns: a million clips as objects would take gigabytes."""

    def __init__(self, clips: Clips) -> None:
        num_clips = len(clips)
        self.clips = clips
        self.verdicts = Verdicts(num_clips)
        self.width, self.height, self.num_frames = (np.full(num_clips, _UNKNOWN, dtype=np.int32) for _ in range(3))
        """int32 [clips], -1 if unknown."""
        self._sha256 = np.zeros(num_clips, dtype=f"V{DIGEST_BYTES}")
        self._has_sha256 = np.zeros(num_clips, dtype=bool)
        self._formats = np.full(num_clips, _UNKNOWN, dtype=np.int8)
        self._paths: dict[int, str] = {}

    def record(self, probed: ProbedClip) -> None:
        """Set the result of a clip, replacing an earlier one."""
        number = self.clips.number(probed.clip_key)
        self.verdicts.record(number, probed.verdict, probed.detail)
        self.width[number] = _UNKNOWN if probed.width is None else probed.width
        self.height[number] = _UNKNOWN if probed.height is None else probed.height
        self.num_frames[number] = _UNKNOWN if probed.num_frames is None else probed.num_frames
        self._has_sha256[number] = probed.sha256 is not None
        if probed.sha256 is not None:
            self._sha256[number] = bytes.fromhex(probed.sha256)
        self._formats[number] = _UNKNOWN if probed.format is None else _FORMATS.index(probed.format)
        # Most paths equal the listing's location, and a million paths would take 100 MB.
        if probed.path and probed.path != self.clips.location(number):
            self._paths[number] = probed.path
        else:
            self._paths.pop(number, None)

    def at(self, number: int) -> ProbedClip:
        """Return the result of a clip by its number."""
        return ProbedClip(
            clip_key=self.clips.keys_in_order[number],
            path=self._paths.get(number) or self.clips.location(number),
            sha256=self.digest(number),
            width=_or_none(self.width[number]),
            height=_or_none(self.height[number]),
            num_frames=_or_none(self.num_frames[number]),
            format=self.format(number),
            verdict=self.verdicts[number],
            detail=self.verdicts.details.get(number),
        )

    def digest(self, number: int) -> str | None:
        """Return the SHA-256 of a clip's bytes, hexadecimal, or None if it was not read."""
        return self._sha256[number].tobytes().hex() if self._has_sha256[number] else None

    def format(self, number: int) -> FileFormat | None:
        """Return the format of a clip, or None if it is no animation or was not read."""
        code = int(self._formats[number])
        return None if code == _UNKNOWN else _FORMATS[code]

    @property
    def formats(self) -> set[FileFormat]:
        """The formats of all clips."""
        return {_FORMATS[code] for code in np.unique(self._formats).tolist() if code != _UNKNOWN}

    def __getitem__(self, key: str) -> ProbedClip:
        number = self.clips.number(key)
        if not self.verdicts.has(number):
            raise KeyError(key)
        return self.at(number)

    def __iter__(self) -> Iterator[str]:
        return (self.clips.keys_in_order[number] for number in np.flatnonzero(self.verdicts.is_known).tolist())

    def __len__(self) -> int:
        return int(self.verdicts.is_known.sum())

    @property
    def usable(self) -> NDArray[np.int64]:
        """Numbers of the clips to measure, ascending."""
        return self.verdicts.find(None)

    def sizes(self, numbers: NDArray[np.integer]) -> ClipSizes:
        """Return the sizes of the clips with these numbers. Unknown sizes count as 0."""
        keys = self.clips.keys_in_order
        width, height, num_frames = (column[numbers] for column in (self.width, self.height, self.num_frames))
        return ClipSizes(
            numbers=numbers.astype(np.int64),
            keys=pa.array([keys[number] for number in numbers.tolist()], pa.string()),
            num_frames=np.maximum(num_frames, 0).astype(np.int64),
            num_pixels=np.maximum(width, 0).astype(np.int64) * np.maximum(height, 0),
        )


def _or_none(value: np.int32) -> int | None:
    return None if value == _UNKNOWN else int(value)
