"""Files, locks, processes: the operating system's manners."""
