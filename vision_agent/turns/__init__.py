"""From sightings to a request: which request gets which sightings, and the lines that a model reads."""
