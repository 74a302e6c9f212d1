import numpy as np
import pytest
from PIL import Image, ImageSequence

from training.generation.writers import spread_durations, write_frames


@pytest.fixture
def frames(picture):
    """A red square that moves over a still picture; the third frame equals the second."""
    frames = []
    for left in (10, 40, 40, 90):
        frame = picture.resize((160, 128))
        frame.paste((220, 30, 30), (left, 20, left + 30, 50))
        frames.append(frame)
    return frames


def read(path):
    with Image.open(path) as image:
        pages = [(np.asarray(page.convert("RGB")), page.info["duration"]) for page in ImageSequence.Iterator(image)]
    return np.stack([pixels for pixels, _ in pages]).astype(int), [duration for _, duration in pages]


@pytest.mark.parametrize("dither", ["floyd-steinberg", "ordered", "none"])
def test_a_gif_has_complete_frames_and_one_palette(frames, tmp_path, dither):
    path = tmp_path / "x.gif"
    write_frames(frames, path, 8, dither)
    pixels, durations = read(path)
    expected = np.stack([np.asarray(frame) for frame in frames]).astype(int)
    assert pixels.shape == expected.shape
    assert sum(durations) == 500
    assert np.abs(pixels - expected).mean() < 8
    assert np.abs(pixels[3, 20:50, 10:40] - expected[3, 20:50, 10:40]).mean() < 16  # No trail of the square.
    assert np.array_equal(pixels[1], pixels[2])
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) <= 256
    if dither != "floyd-steinberg":  # Still pixels keep their colours exactly.
        assert np.array_equal(pixels[0, 60:], pixels[3, 60:])
    with Image.open(path) as gif:
        assert gif.info["loop"] == 0
        for index in range(gif.n_frames):
            gif.seek(index)
            assert gif.tile[0][1] == (0, 0, 160, 128)
            assert "transparency" not in gif.info


def test_ordered_dithering_is_more_accurate_than_none(tmp_path):
    y, x = np.mgrid[:128, :128]
    ramps = Image.fromarray(np.stack([x, y, 128 + (x + y) // 4], -1).astype(np.uint8))
    blurred = np.asarray(ramps.resize((16, 16), Image.Resampling.BOX)).astype(int)
    errors = {}
    for dither in ("ordered", "none"):
        write_frames([ramps], tmp_path / "x.gif", 8, dither)
        decoded = Image.fromarray(read(tmp_path / "x.gif")[0][0].astype(np.uint8))
        errors[dither] = np.abs(np.asarray(decoded.resize((16, 16), Image.Resampling.BOX)) - blurred).mean()
    assert errors["ordered"] < 0.7 * errors["none"]


def test_ordered_dithering_leaves_plain_areas_plain(tmp_path):
    plain = Image.new("RGB", (64, 64), (10, 20, 30))
    plain.paste((200, 30, 30), (20, 20, 40, 40))
    write_frames([plain], tmp_path / "x.gif", 8, "ordered")
    assert np.array_equal(read(tmp_path / "x.gif")[0][0], plain)


def test_a_gif_may_have_one_frame(frames, tmp_path):
    write_frames(frames[:1], tmp_path / "x.gif", 8, "none")
    assert len(read(tmp_path / "x.gif")[0]) == 1


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_the_same_frames_give_the_same_bytes(frames, tmp_path, suffix):
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    write_frames(frames, first, 8, "floyd-steinberg")
    write_frames(frames, second, 8, "floyd-steinberg")
    assert first.read_bytes() == second.read_bytes()


def test_mp4_is_h264_that_browsers_play(frames, tmp_path):
    import av

    write_frames(frames, tmp_path / "x.mp4", 8, "none")
    with av.open(str(tmp_path / "x.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 8
        pixels = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    assert np.abs(pixels.astype(int) - np.stack([np.asarray(frame) for frame in frames])).mean() < 6


def test_png_frames_are_exact_and_replace_earlier_ones(frames, tmp_path):
    out = tmp_path / "x"
    write_frames(frames, out, 8, "none")
    write_frames(frames[:3], out, 8, "none")
    assert [path.name for path in sorted(out.glob("*.png"))] == ["0001.png", "0002.png", "0003.png"]
    for index in range(3):
        with Image.open(out / f"{index + 1:04d}.png") as picture:
            assert np.array_equal(picture, frames[index])


def test_durations_do_not_drift():
    durations = spread_durations(80, 12)
    assert set(durations) == {80, 90}
    assert abs(sum(durations) - 80 * 1000 / 12) <= 5
