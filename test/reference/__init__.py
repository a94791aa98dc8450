"""The method written down step by step, one sample and one number at a time, for tests alone."""
