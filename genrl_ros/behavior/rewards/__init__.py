"""What imagined states are worth for a prompt: named rewards, of which `LearnConfig` chooses."""
