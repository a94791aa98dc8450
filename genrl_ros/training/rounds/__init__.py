"""Rounds of imagined policies, tried in the simulator: so the model is right where they go."""
