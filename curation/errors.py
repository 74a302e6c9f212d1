"""Errors that the user must act on. A GIF that cannot be used raises none of them: it gets a verdict.

CurationError
    ClusterError            a Ray cluster cannot be joined, or a node cannot do the work
    ConfigError             an invalid parameter
    ListingError            a listing or split list cannot be read
    OutputError             OUT cannot be written, or must not be overwritten
    SandboxError            the sandbox process does not start
    SourceChangedError      a GIF has changed since it was measured
    WorkerLostError         a worker process died repeatedly

A message is one sentence: what happened, to what, and what to do.
"""


class CurationError(Exception):
    """Base class of errors that the user must act on."""


class ClusterError(CurationError):
    """A Ray cluster cannot be joined, or one of its nodes cannot do the work."""


class ConfigError(CurationError):
    """A parameter is invalid."""


class ListingError(CurationError):
    """A listing or split list cannot be read."""


class OutputError(CurationError):
    """The output folder cannot be written, or must not be overwritten."""


class SandboxError(CurationError):
    """The sandbox process does not start."""


class SourceChangedError(CurationError):
    """The bytes of a GIF have changed since it was measured."""


class WorkerLostError(CurationError):
    """Worker processes died in every attempt at a task."""
