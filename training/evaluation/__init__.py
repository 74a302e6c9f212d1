"""Evaluation: metrics of generated clips, and Table 1, Table 2 and Figure 7 of the paper."""
