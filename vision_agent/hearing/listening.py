"""Whom the agent listens to in a room: the setting ``listen_to``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from livekit import rtc

from ..errors import ConfigError

KIND_ATTRIBUTE = "vision.kind"
"""Participant attribute; a participant with the value ``camera`` is a device, not a person."""
_PERSON_KINDS = (
    rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD,
    rtc.ParticipantKind.PARTICIPANT_KIND_SIP,
    rtc.ParticipantKind.PARTICIPANT_KIND_CONNECTOR,
)


def is_person(participant: rtc.Participant) -> bool:
    """Return whether this can be a person: not an agent, ingress, egress or a device that only publishes."""
    may = participant.permissions
    publishes_only = not may.can_subscribe and (may.can_publish or may.can_publish_data)
    is_camera = participant.attributes.get(KIND_ATTRIBUTE) == "camera"
    return participant.kind in _PERSON_KINDS and not publishes_only and not is_camera


@dataclass(frozen=True, slots=True)
class Listening:
    """Whom the agent listens to: all people (no devices, no agents), those named, or the one linked person.

    Raises:
        ConfigError: ``named`` without identities, or identities without ``named``.
    """

    mode: Literal["everybody", "named", "linked"] = "everybody"
    """``linked``: the one person LiveKit's session is linked to, as a spoken session needs."""
    identities: tuple[str, ...] = ()
    """Whom the agent listens to with ``named``."""

    def __post_init__(self) -> None:
        """Check that mode and identities fit together."""
        if (self.mode == "named") != bool(self.identities) or not all(self.identities):
            raise ConfigError(
                f"listen_to = {list(self.identities)!r}: name at least one identity, none empty"
            )

    @classmethod
    def parse(cls, value: object, *, name: str = "listen_to") -> Listening:
        """Make a ``Listening`` from the setting: ``"everybody"``, ``"linked"`` or a list of identities.

        Raises:
            ConfigError: The value is none of these.
        """
        if value == "everybody":
            return cls("everybody")
        if value == "linked":
            return cls("linked")
        if (
            isinstance(value, list | tuple)
            and value
            and all(isinstance(each, str) and each for each in value)
        ):
            return cls("named", tuple(dict.fromkeys(value)))
        raise ConfigError(
            f'{name} = {value!r}: must be "everybody", "linked" or a list of identities, such as ["alice"]'
        )

    def hears(self, participant: rtc.Participant, *, linked: str | None = None) -> bool:
        """Return whether the agent answers a participant's questions.

        Args:
            participant: The participant who asks.
            linked: Identity of the person the session is linked to, if there is one.
        """
        if self.mode == "named":
            return participant.identity in self.identities
        is_linked = self.mode == "everybody" or linked in (None, participant.identity)
        return is_linked and is_person(participant)


EVERYBODY = Listening()
"""Everybody except agents and devices."""
