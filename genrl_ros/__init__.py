"""Say what a robot shall do, see the goal, watch it act: GenRL as a ROS 2 package."""
