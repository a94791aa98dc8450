"""Simulated robots with a camera, one domain a file. The only place that knows MuJoCo."""
