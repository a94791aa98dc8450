"""How fast this machine trains, against the plain form of the same updates."""
