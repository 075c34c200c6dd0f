"""What was seen, and in which request it went out: the only record, which everything else refers to."""
