"""From sightings to a request: what was seen, which request gets which, and the lines a model reads."""
