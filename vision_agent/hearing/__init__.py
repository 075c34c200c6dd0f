"""People in a room: who may ask and send, which question is next, whose answer it is, what failed."""
