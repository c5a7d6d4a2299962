"""Training of the demo's model: see scripts/train.sh."""
