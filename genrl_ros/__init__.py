"""Say what a robot shall do, see the goal, watch it act: GenRL as a ROS 2 package."""

import os

# Before torch is imported: worker threads that spin while they wait slow every other process down,
# and, where cores are shared, torch itself several times over.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
