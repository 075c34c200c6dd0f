"""People in a room: who may ask and send, which question is next, which answer is whose, what failed."""
