"""Run a command once for each of its file operations, with that one failing or killing it, and then once more.

`python -m tests.fault_injection --help`; docs/faults.md describes what is shown.
"""
