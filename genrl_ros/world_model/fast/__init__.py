"""Functions of the world model, made fast for CPUs."""
