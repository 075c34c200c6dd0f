"""From a source to a sighting: the newest good frame, the choice of views, and making the picture."""
