"""Starts the graph of the kitchen: `genrl.launch.py domain:=kitchen`, with the same arguments."""

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from genrl_ros.system.share import share_path


def generate_launch_description() -> LaunchDescription:
    """The graph of the kitchen."""
    graph = PythonLaunchDescriptionSource(str(share_path('launch', 'genrl.launch.py')))
    arguments = {'domain': 'kitchen'}
    return LaunchDescription([IncludeLaunchDescription(graph, launch_arguments=arguments.items())])
