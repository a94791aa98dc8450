"""Starts the graph of a robot whose drivers run already: `embodiment:=FILE model:=FOLDER`."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from genrl_ros.system.share import share_path


def generate_launch_description() -> LaunchDescription:
    """The graph of `genrl.launch.py`, with its arguments, without a simulator."""
    graph = PythonLaunchDescriptionSource(str(share_path('launch', 'genrl.launch.py')))
    needed = {
        'embodiment': 'the robot: a file, or the name of a shipped one',
        'model': 'its world model: a folder, which begins with / or ./',
    }
    return LaunchDescription(
        [
            *(DeclareLaunchArgument(name, description=doc) for name, doc in needed.items()),
            IncludeLaunchDescription(graph, launch_arguments={'use_sim': 'false'}.items()),
        ]
    )
