"""Episodes made by policies that see the simulator's state."""
