"""A learned policy as numpy in, numpy out. Knows neither torch nor ROS."""
