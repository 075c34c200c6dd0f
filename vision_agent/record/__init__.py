"""What was seen, and in which request it went out: the one record that everything else refers to."""
