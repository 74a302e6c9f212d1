"""A sample for the tests of shards."""

from shards.schema import Sample, SampleRecord


def make_sample(number: int, image_format: str = "jpg") -> Sample:
    """Make a sample that differs from others by its number."""
    record = SampleRecord(
        caption="a",
        captions=("a", "b"),
        motion_px=float(number),
        source_index=0,
        target_index=number,
        gap_ms=100,
        clip_key="clip-0",
        split="train",
        uri="clip.gif",
    )
    return Sample(record=record, source=b"source", target=b"target" * number, image_format=image_format)
