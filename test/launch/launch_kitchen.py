"""Runs the shipped launch file as `ros2 launch` does: `launch_kitchen.py name:=value ...`."""

import sys

from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from genrl_ros.system.share import share_path

service = LaunchService()
service.include_launch_description(
    LaunchDescription(
        [
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(share_path('launch', 'kitchen.launch.py'))),
                launch_arguments=[tuple(word.split(':=', 1)) for word in sys.argv[1:]],
            )
        ]
    )
)
sys.exit(service.run())
