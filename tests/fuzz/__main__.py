"""`python -m tests.fuzz KIND --seed 7 --count 1`."""

import argparse

from tests.fuzz.run import FUZZERS, run_seeds


def main() -> None:
    """Parse the options and run the seeds."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("kind", choices=FUZZERS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1)
    options = parser.parse_args()
    run_seeds(options.kind, range(options.seed, options.seed + options.count))


if __name__ == "__main__":
    main()
