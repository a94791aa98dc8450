"""ROS 2 nodes: thin shells around numpy functions. The only place that knows ROS."""

import sys

from genrl_ros.system.environment import VariableError, check_ros

# Before rclpy is imported: with some variables it ends the process itself, without naming them.
try:
    check_ros()
except VariableError as error:
    sys.exit(str(error))
