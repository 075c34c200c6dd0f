"""The peers: other ways to give an agent sight, and the scripts that run them."""

from __future__ import annotations

from dataclasses import dataclass

OURS = "vision_agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One peer and its script."""

    name: str
    """Its name in the table."""
    script: str
    """File in ``benchmarks/peers``."""
    environment: str = ""
    """The requirements file it needs; our own environment if empty."""
    encodes: bool = True
    """Whether it has its own code from frame to JPEG."""
    joins: bool = True
    """Whether it can join a LiveKit room."""
    sizes: bool = True
    """Whether it can make a picture smaller."""
    at_least: float = 0.0
    """How many times as long as ours it should take, at least."""
    looks: bool = False
    """Whether a script can ask for its newest picture outside a turn."""


PEERS = (
    Peer(name=OURS, script="ours.py", looks=True),
    Peer(name="livekit recipe", script="recipe.py", environment="livekit_agents", at_least=12, looks=True),
    Peer(name="livekit video input", script="video_input.py", environment="livekit_agents", encodes=False),
    Peer(name="Pipecat", script="pipecat_livekit.py", environment="pipecat", sizes=False),
    Peer(
        name="Vision-Agents",
        script="vision_agents_picture.py",
        environment="vision_agents",
        joins=False,
        at_least=20,
    ),
)
