"""Members of archives: zips, tars and Parquet files that hold the bytes of GIFs.

A member has a location, one string like any other (`location.py`). Workers read members in any order and unpack
nothing (`read.py`). Archives are on disk or in an object store.
"""
