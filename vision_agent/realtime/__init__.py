"""Pictures for a realtime model, which listens all the time and gets no request for each turn."""

from .feed import RealtimeFeed as RealtimeFeed
from .policy import FramePolicy as FramePolicy
from .policy import policy_of as policy_of
