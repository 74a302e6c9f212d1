"""Lucas-Kanade motion of all frame pairs of a clip, compiled. The entry point is `all_pairs.measure_all_pairs`."""
