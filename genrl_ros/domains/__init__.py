"""Simulated robots, one domain a file. The only layer that knows MuJoCo."""

import os

# Before MuJoCo is imported: render without a display, and leave other cores to other processes.
os.environ['MUJOCO_GL'] = os.environ.get('MUJOCO_GL') or 'egl'
os.environ.setdefault('LP_NUM_THREADS', '0')
