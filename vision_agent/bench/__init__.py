"""``vision-agent bench``: what a picture costs, measured on this machine and beside the peers."""
