"""Numbers -> text for web pages and the terminal."""


def format_percent(part: float, whole: float = 1) -> str:
    """Format a share in percent: one decimal below 10 %, `0 %` if `whole` is 0."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.1f} %" if 0 < percent < 9.95 else f"{percent:.0f} %"


def format_bytes(num_bytes: int) -> str:
    """Format a size with a decimal unit from B to TB."""
    if num_bytes < 1000:
        return f"{num_bytes} B"
    power = min((len(str(num_bytes)) - 1) // 3, 4)
    return f"{num_bytes / 1000**power:.1f} {'kMGT'[power - 1]}B"


def format_duration(seconds: float) -> str:
    """Format a duration: `0.42 s`, `12.3 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60:02d} min"
