"""Starts the graph of a domain, or of a robot, and brings it up; and RViz on request."""

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.conditions import IfCondition
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from genrl_ros.deploy.graph import ARGUMENTS, BRINGUP, NODES, NodeSpec
from genrl_ros.system.share import share_path

CLOCK = [('/clock', 'clock')]
"""So that each namespace has a clock of its own."""


def parameters_of(node: NodeSpec) -> list[dict[str, ParameterValue]]:
    """The launch arguments that are parameters of a node; no file is written where none is."""
    kinds = {argument.name: argument.kind for argument in ARGUMENTS}
    return [
        {name: ParameterValue(LaunchConfiguration(name), value_type=kinds[name])}
        for name in node.arguments
    ]


def check(context: LaunchContext) -> None:
    """Tell what is missing before anything is started."""
    asked = context.launch_configurations
    if not Path(asked['params_file']).is_file():
        raise FileNotFoundError(f'params_file:={asked["params_file"]} is not a file')
    if asked['use_rviz'] == 'true':
        try:
            get_package_prefix('rviz2')
        except PackageNotFoundError:
            raise RuntimeError('use_rviz:=true, but rviz2 is not installed') from None


def end_with_bringup(event: ProcessExited, context: LaunchContext) -> Shutdown | None:
    """The bring-up ends by itself only where it failed: so does the launch, with its status."""
    if context.is_shutdown:
        return None
    if event.returncode:
        raise RuntimeError('the graph could not be brought up; the reason is above')
    return Shutdown(reason='the bring-up has ended')


def generate_launch_description() -> LaunchDescription:
    """The nodes of `genrl_ros.deploy.graph`, with their arguments."""
    config = str(share_path('config'))
    simulated = LaunchConfiguration('use_sim')
    kind = PythonExpression(["'simulation' if '", simulated, "' == 'true' else 'robot'"])
    files = [f'{config}/graph.yaml', [f'{config}/', kind, '.yaml']]
    arguments = [
        DeclareLaunchArgument(
            argument.name,
            default_value=LaunchConfiguration('domain')
            if argument.is_domain
            else argument.default,
            description=argument.doc,
            **({'choices': list(argument.choices)} if argument.choices else {}),
        )
        for argument in ARGUMENTS
    ]
    arguments += [
        DeclareLaunchArgument(
            'params_file',
            default_value=f'{config}/graph.yaml',
            description='ROS parameter file that is laid over the shipped ones',
        ),
        DeclareLaunchArgument(
            'namespace', default_value='', description='ROS namespace of all nodes and topics'
        ),
        DeclareLaunchArgument(
            'use_sim',
            default_value='true',
            choices=['true', 'false'],
            description='simulate; false where a robot has drivers with the same topics',
        ),
        DeclareLaunchArgument(
            'autostart',
            default_value='true',
            choices=['true', 'false'],
            description='configure, activate, release and set the prompt; false to do so by hand',
        ),
        DeclareLaunchArgument(
            'use_rviz',
            default_value='false',
            choices=['true', 'false'],
            description='show camera, decoded goal and task state in RViz',
        ),
    ]
    nodes = [
        Node(
            package='genrl_ros',
            executable=node.name,
            name=node.name,
            namespace=LaunchConfiguration('namespace'),
            output='screen',
            parameters=[*files, LaunchConfiguration('params_file'), *parameters_of(node)],
            remappings=CLOCK,
            respawn=True,
            respawn_delay=1.0,
            condition=IfCondition(simulated) if node.simulates else None,
        )
        for node in NODES
    ]
    bringup = Node(
        package='genrl_ros',
        executable=BRINGUP.name,
        name=BRINGUP.name,
        namespace=LaunchConfiguration('namespace'),
        output='screen',
        parameters=[
            *files,
            LaunchConfiguration('params_file'),
            *parameters_of(BRINGUP),
            {'use_sim': ParameterValue(simulated, value_type=bool)},
        ],
        remappings=CLOCK,
        on_exit=end_with_bringup,
        condition=IfCondition(LaunchConfiguration('autostart')),
    )
    rviz = Node(
        package='rviz2',
        executable='rviz2',
        namespace=LaunchConfiguration('namespace'),
        arguments=['-d', f'{config}/genrl.rviz'],
        remappings=CLOCK,
        parameters=[{'use_sim_time': ParameterValue(simulated, value_type=bool)}],
        condition=IfCondition(LaunchConfiguration('use_rviz')),
    )
    checks = OpaqueFunction(function=check)
    return LaunchDescription([*arguments, checks, *nodes, bringup, rviz])
