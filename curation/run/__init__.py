"""How a run works: workers, sandbox, quarantine, workspace, progress."""
