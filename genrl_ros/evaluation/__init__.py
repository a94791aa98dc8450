"""Policies run in the simulator, and their scores."""
