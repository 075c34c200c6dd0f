"""Foreign pictures are decoded in a process of their own, which can be killed and takes its memory along."""
