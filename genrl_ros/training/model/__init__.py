"""Training of a world model, and what is measured of it."""
