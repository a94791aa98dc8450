"""The learned policy as numpy in, numpy out."""
