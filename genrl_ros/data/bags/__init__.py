"""Recorded runs of a robot: rosbag2 in and out."""
