"""ROS 2 nodes: thin shells around numpy functions. The only place that knows ROS."""
