import pytest

from training.generation.errors import GenerationError
from training.generation.output_paths import OutputPaths
from training.generation.writers import write_frames


@pytest.mark.parametrize(("out", "record"), [("cat.gif", "cat.json"), ("frames", "frames.json")])
def test_the_record_is_beside_the_output(tmp_path, out, record):
    assert OutputPaths(out=tmp_path / out).record == tmp_path / record


@pytest.mark.parametrize(
    ("out", "sheet", "message"),
    [
        ("cat.png/x.gif", None, r"cat\.png is a file; name another path"),
        ("x.avi", None, r"end it in \.gif"),
        ("folder.gif", None, "is a folder; name a file"),
        ("mine", None, "holds no frames of pix2gif"),
        ("x.gif", "sheet.jpg", r"must be a file that ends in \.png"),
        ("x.gif", "", r"must be a file that ends in \.png"),
        ("x.gif", "cat.png", "is or contains the source image"),
        ("still.gif", None, "is or contains the source image"),
        ("frames", None, "is or contains the source image"),
    ],
)
def test_unusable_paths_raise(picture, cat, tmp_path, out, sheet, message):
    picture.save(tmp_path / "still.gif")
    write_frames([picture], tmp_path / "frames", 8, "none")
    (tmp_path / "mine").mkdir()
    (tmp_path / "folder.gif").mkdir()
    image = {"still.gif": tmp_path / "still.gif", "frames": tmp_path / "frames" / "0001.png"}.get(out, cat)
    paths = OutputPaths(out=tmp_path / out, sheet=None if sheet is None else tmp_path / sheet)
    with pytest.raises(GenerationError, match=message):
        paths.check(image)


def test_usable_paths_are_accepted(picture, cat, tmp_path):
    write_frames([picture], tmp_path / "frames", 8, "none")
    for out in ("x.gif", "x.mp4", "x.webp", "new/frames", "frames"):
        OutputPaths(out=tmp_path / out, sheet=tmp_path / "sheet.png").check(cat)


@pytest.mark.parametrize(("name", "message"), [("frames", "holds notes.txt"), ("frames.replaced", "holds no frames")])
def test_files_of_others_in_folders_that_are_replaced_raise(picture, cat, tmp_path, name, message):
    write_frames([picture], tmp_path / "frames", 8, "none")
    (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / name / "notes.txt").write_text("mine")
    with pytest.raises(GenerationError, match=message):
        OutputPaths(out=tmp_path / "frames").check(cat)


def test_a_link_to_a_folder_of_frames_raises(picture, cat, tmp_path):
    write_frames([picture], tmp_path / "elsewhere", 8, "none")
    (tmp_path / "frames").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(GenerationError, match="holds no frames"):
        OutputPaths(out=tmp_path / "frames").check(cat)
