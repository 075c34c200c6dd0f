"""``vision-agent publish``: any source as a camera in a room, untouched where its codec allows it."""
