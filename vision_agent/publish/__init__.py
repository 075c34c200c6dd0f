"""``vision-agent publish``: any source as a camera in a room, without re-encoding if its codec allows it."""
