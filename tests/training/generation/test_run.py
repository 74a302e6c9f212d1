import dataclasses
import json

import pytest

from training.generation.config import GenerationConfig
from training.generation.errors import GenerationError
from training.generation.output_paths import OutputPaths
from training.generation.requests import Request
from training.generation.run import make_many, make_one
from training.generation.writers import write_frames

CONFIG = GenerationConfig(motion_px=(2.0, 19.0), num_inference_steps=1, size=(64,))


@pytest.fixture
def make(generator, cat, tmp_path):
    def run(config=CONFIG, prompt="a cat", out="cat.gif"):
        places = OutputPaths(out=tmp_path / "out" / out, sheet=tmp_path / "out" / "sheet.png")
        return make_one(generator, Request(image=cat, prompt=prompt, name="cat"), places, config, print)

    return run


def test_the_same_seed_makes_the_same_bytes_and_another_does_not(make, tmp_path):
    seen = []
    for seed in (1, 1, 2):
        for path in (tmp_path / "out").glob("*"):
            path.unlink()
        assert make(dataclasses.replace(CONFIG, seed=seed))
        seen.append([(tmp_path / "out" / name).read_bytes() for name in ("cat.gif", "sheet.png")])
    assert seen[0] == seen[1]
    assert seen[0][0] != seen[2][0]


def test_what_is_whole_and_the_same_is_kept_and_nothing_else_is_trusted(make, tmp_path):
    out = tmp_path / "out"
    assert make()
    record = json.loads((out / "cat.json").read_text())
    assert record["recipe"]["settings"]["seed"] == 0
    assert not make()
    assert make(prompt="another cat")
    assert make()
    whole = (out / "cat.gif").read_bytes()
    (out / "cat.gif").write_bytes(whole[:-20])
    assert make()
    assert (out / "cat.gif").read_bytes() == whole
    (out / "sheet.png").unlink()
    assert make()
    (out / "cat.json").unlink()
    assert make()


def test_another_files_record_is_not_written_over(make, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cat.json").write_text('{"mine": 1}')
    with pytest.raises(GenerationError, match=r"cat\.json is no record of pix2gif"):
        make()
    assert (tmp_path / "out" / "cat.json").read_text() == '{"mine": 1}'


def test_a_row_that_cannot_be_made_does_not_stop_the_others(generator, cat, tmp_path):
    told, made = [], []
    rows = [(cat, None), (tmp_path / "none.png", None), (cat, (5000.0,)), (cat, None)]
    work = [
        (
            Request(image=image, prompt="a cat", motion_px=motion_px, name=f"{row}"),
            OutputPaths(out=tmp_path / "out" / f"{row}.gif"),
        )
        for row, (image, motion_px) in enumerate(rows)
    ]
    with pytest.raises(GenerationError, match="2 of 4 rows could not be made: 1, 2"):
        make_many(generator, work, CONFIG, told.append, made.append)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.gif")) == ["0.gif", "3.gif"]
    assert "1 is passed over: there is no image" in told[0]
    assert "2 is passed over: the motion 5000 is not in the embedding" in told[1]
    assert [line.partition(":")[0] for line in made] == ["1 of 4", "4 of 4"]


@pytest.mark.parametrize(
    ("out", "sheet", "message"),
    [
        ("cat.png/x.gif", None, "is a file: name another place"),
        ("x.gif", "sheet.jpg", r"must be a file that ends with \.png"),
        ("x.gif", "", r"must be a file that ends with \.png"),
        ("x.gif", "cat.png", "is the source image"),
        ("still.gif", None, "is the source image"),
        ("frames", None, "is the source image, or holds it"),
    ],
)
def test_places_that_cannot_be_are_refused_and_the_source_is_kept(
    generator, picture, cat, tmp_path, out, sheet, message
):
    picture.save(tmp_path / "still.gif")
    write_frames([picture], tmp_path / "frames", 8, "none")
    image = {"still.gif": tmp_path / "still.gif", "frames": tmp_path / "frames" / "0001.png"}.get(out, cat)
    before = image.read_bytes()
    places = OutputPaths(out=tmp_path / out, sheet=None if sheet is None else tmp_path / sheet)
    with pytest.raises(GenerationError, match=message):
        make_one(generator, Request(image=image, prompt="a cat", name="cat"), places, CONFIG, print)
    assert image.read_bytes() == before
