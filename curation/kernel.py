"""Which kernel measures all pairs of a clip: the compiled one, or the definition where there is no Numba."""

import importlib.util

if importlib.util.find_spec("numba"):
    from curation.lucas_kanade import measure_all_pairs

    KERNEL = "lucas_kanade-1"
else:
    from curation.flow import measure_all_pairs

    KERNEL = "opencv-1"

__all__ = ["KERNEL", "measure_all_pairs"]
