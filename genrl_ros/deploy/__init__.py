"""What a graph consists of and may do, without ROS."""
