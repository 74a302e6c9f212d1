"""A finished data set -> what is wrong with it."""
