"""Table 1, Table 2 and Figure 7 of the paper: choose clips, get frames, measure them, write the results."""
