"""Pictures for a realtime model, which listens by itself instead of being asked turn by turn."""

from .feed import RealtimeFeed as RealtimeFeed
from .policy import FramePolicy as FramePolicy
from .policy import policy_of as policy_of
