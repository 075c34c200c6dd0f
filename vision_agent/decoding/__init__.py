"""A separate process decodes pictures from people: it can be killed, and its memory goes with it."""
