"""The contract between curation and training: what lies in a data set, how it is written, read and proved."""
