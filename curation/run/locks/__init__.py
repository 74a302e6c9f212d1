"""Locks on OUT, so that two runs do not write to one data set: a file on disk, an object in a store."""
