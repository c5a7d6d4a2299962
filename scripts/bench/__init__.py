"""The benchmark: see scripts/bench.sh."""
