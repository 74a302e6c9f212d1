"""The contract between curation and training: the files of a data set, and how they are written, read and verified."""
