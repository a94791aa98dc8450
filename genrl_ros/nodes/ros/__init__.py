"""What the nodes share of ROS: lifecycle, parameters, messages, quality of service."""
