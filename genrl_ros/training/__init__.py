"""Loops only: pretrain a world model, learn a task, evaluate a policy."""
