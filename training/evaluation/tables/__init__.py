"""The paper's tables and figures: which clips, which runs, how they are rendered."""
