"""Users of the graph: a session, and a look at what runs."""
