"""Lucas-Kanade motion of all frame pairs of one clip, compiled. The entry is `all_pairs.measure_all_pairs`."""
