"""What a curation run raises where the user must act.

CurationError
    ClusterError            a Ray cluster that cannot be joined, or whose nodes cannot do the work
    ConfigError             a parameter that cannot be
    ListingError            a listing or split list that cannot be read
    OutputError             an OUT that cannot be written, or must not be
    SandboxError            no process for decoding that starts
    SourceChangedError      a GIF that is no longer what was measured
    WorkerLostError         a worker process that died more often than is tried

Bad data is not among them: a GIF that cannot be used becomes a verdict, and the run goes on. Every message is one
sentence for a person: what, where, what to do.
"""


class CurationError(Exception):
    """The user must act."""


class ClusterError(CurationError):
    """A Ray cluster that cannot be joined, or a node of it that cannot do the work."""


class ConfigError(CurationError):
    """A parameter, its value, and what is allowed."""


class ListingError(CurationError):
    """A listing or a split list, and the line."""


class OutputError(CurationError):
    """An output folder that cannot be written, or holds something that must not be overwritten."""


class SandboxError(CurationError):
    """The process that decodes and measures cannot be started."""


class SourceChangedError(CurationError):
    """A GIF whose bytes are no longer those that were measured."""


class WorkerLostError(CurationError):
    """A worker process died more often over one task than it is tried."""
