"""ROS 2 nodes: thin shells that turn messages into numpy and back. The only place that knows ROS."""
