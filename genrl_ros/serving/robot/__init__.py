"""What a robot is: its embodiment file, its messages as values."""
