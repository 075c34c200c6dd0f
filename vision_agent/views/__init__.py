"""From a source to a sighting: the newest good frame, which views count, and how its picture is made."""
