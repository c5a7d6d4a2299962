"""AstroMAE in PyTorch: `reference` is the network, `weights` fills it from a safetensors file.

The tests' fixtures (crates/astromae/tests/fixtures/make.py), training (scripts/train) and the benchmark (scripts/bench)
all use this one. Run them with `scripts` on Python's path, as `PYTHONPATH=scripts python -m train`.
"""
