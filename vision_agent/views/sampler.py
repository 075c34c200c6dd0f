"""Which frames count. Pure: time is an argument."""

from __future__ import annotations


class Sampler:
    """Reduces a stream of frames to a steady rate, which is higher while the user speaks.

    The decision converts nothing: a frame that is not taken costs nothing more.

    Args:
        speaking_fps: Frames per second taken while the user speaks; 0 takes none.
        silent_fps: Frames per second taken while nobody speaks; 0 takes none.
    """

    def __init__(self, *, speaking_fps: float = 1.0, silent_fps: float = 0.3) -> None:
        self._speaking_fps = speaking_fps
        self._silent_fps = silent_fps
        self._due_s: float | None = None
        self._fps = 0.0

    def take(self, captured_s: float, *, speaking: bool) -> bool:
        """Return whether to take this frame; call it once for each frame, in order.

        Args:
            captured_s: The frame's capture time, in seconds of a monotonic clock.
            speaking: Whether the user speaks now.
        """
        fps = self._speaking_fps if speaking else self._silent_fps
        if fps <= 0:
            return False
        if self._due_s is None:
            due_s = captured_s
        elif fps != self._fps:  # a new rate: count from the last frame, one old interval before the due time
            due_s = self._due_s - 1 / self._fps + 1 / fps
        else:
            due_s = self._due_s
        if captured_s < due_s - 1e-6:
            self._due_s, self._fps = due_s, fps
            return False
        # keeps the mean rate when frames come late, without a burst after a gap
        self._due_s, self._fps = max(due_s, captured_s - 1 / fps) + 1 / fps, fps
        return True
