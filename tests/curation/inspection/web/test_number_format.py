"""Formats of percentages, sizes and durations."""

from curation.inspection.web.number_format import format_bytes, format_duration, format_percent


def test_percent_has_one_decimal_below_ten() -> None:
    assert [format_percent(part, 1000) for part in (0, 0.5, 1, 12, 99.4, 99.6, 1000)] == [
        "0 %", "< 0.1 %", "0.1 %", "1.2 %", "9.9 %", "10 %", "100 %",
    ]  # fmt: skip


def test_sizes_have_decimal_units() -> None:
    assert [format_bytes(size) for size in (0, 999, 1000, 34_512_896, 5 * 10**15)] == [
        "0 B", "999 B", "1.0 kB", "34.5 MB", "5000.0 TB",
    ]  # fmt: skip


def test_durations_have_seconds_minutes_or_hours() -> None:
    assert [format_duration(seconds) for seconds in (0.424, 9.996, 59.96, 200, 3599.7, 7500)] == [
        "0.42 s", "10.0 s", "1 min 00 s", "3 min 20 s", "1 h 00 min", "2 h 05 min",
    ]  # fmt: skip
