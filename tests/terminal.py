"""What a person sees who runs a program in a terminal."""

import contextlib
import os
import pty
import subprocess
import sys
import termios


def show_in_a_terminal(program: str) -> str:
    """Run a Python program with its standard error in a terminal of 100 columns; returns what was shown there."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    subprocess.run([sys.executable, "-c", program], stderr=theirs, check=True)
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as screen, contextlib.suppress(OSError):  # So a closed terminal reads.
        while piece := screen.read(2**16):
            shown += piece
    return shown.decode()
