"""``vision-agent bench``: measures what a picture costs on this machine, alone and beside the peers."""
