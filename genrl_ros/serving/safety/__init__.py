"""What stands between a policy and a robot."""
