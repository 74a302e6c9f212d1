"""Run a program in a pseudo-terminal."""

import contextlib
import os
import pty
import subprocess
import sys
import termios


def run_in_terminal(program: str) -> str:
    """Run a Python program with stderr connected to a terminal of 100 columns. Returns the terminal's output."""
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    subprocess.run([sys.executable, "-c", program], stderr=terminal, check=True)
    os.close(terminal)
    output = b""
    # Reading from a closed terminal raises OSError.
    with os.fdopen(controller, "rb", buffering=0) as file, contextlib.suppress(OSError):
        while chunk := file.read(2**16):
            output += chunk
    return output.decode()
