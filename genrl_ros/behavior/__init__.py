"""Learning to act in imagination: start states, rollouts, trajectory reward, actor-critic."""
