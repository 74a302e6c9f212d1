"""`python -m tests.fault_injection COMMAND`: run all cases of a command, or the one that is named."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.fault_injection.preload import Fault, Operation, start_again_with_library


def main() -> int:
    """Parse the options, run the cases, print those that fail; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault_injection", description=__doc__)
    parser.add_argument("command", help="curate, store (curate into a bucket), resplit, retry, encode or train")
    parser.add_argument("--operation", type=int, help="only this operation, by number")
    parser.add_argument("--fault", help=f"only this fault: {', '.join(fault.name for fault in Fault)}")
    parser.add_argument("--sample", type=int, help="only this many cases, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--list", action="store_true", help="print the operations and end")
    options = parser.parse_args()
    start_again_with_library()
    from tests.fault_injection.harness import Harness
    from tests.fault_injection.store import StoreHarness

    with tempfile.TemporaryDirectory(prefix="pix2gif-faults-") as folder:
        harness = (StoreHarness if options.command == "store" else Harness)(options.command, Path(folder).resolve())
        if options.list:
            print("\n".join(f"{made.number}\t{made.name}\t{made.path}" for made in harness.operations))
            return 0
        cases = [
            (made, fault) for made in harness.operations for fault in made.faults if _is_chosen(made, fault, options)
        ]
        if options.sample:
            cases = random.Random(options.seed).sample(cases, min(options.sample, len(cases)))  # noqa: S311
        start_s, num_failed = time.monotonic(), 0
        for number, (made, fault) in enumerate(cases, 1):
            print(f"\r{number} of {len(cases)}", end="", file=sys.stderr)
            if problem := harness.survive(made, fault):
                num_failed += 1
                path = made.path.removeprefix(f"{harness.out}/")
                print(f"--operation {made.number} --fault {fault.name} ({made.name} {path}): {problem}", flush=True)
        print(
            f"{options.command}: {len(harness.operations)} operations; {len(cases) - num_failed} of {len(cases)} cases "
            f"survived in {time.monotonic() - start_s:.0f} s"
        )
    return int(num_failed > 0)


def _is_chosen(made: Operation, fault: Fault, options: argparse.Namespace) -> bool:
    return (options.operation in (None, made.number)) and (options.fault in (None, fault.name))


if __name__ == "__main__":
    sys.exit(main())
