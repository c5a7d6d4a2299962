"""The parts of infra/deploy.py, which is the command."""
