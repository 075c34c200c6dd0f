from __future__ import annotations

import subprocess
import sys

import vision_agent


def test_all_is_sorted_and_real() -> None:
    assert vision_agent.__all__ == sorted(vision_agent.__all__)
    assert all(hasattr(vision_agent, name) for name in vision_agent.__all__)
    assert set(vision_agent._MODULES) == set(vision_agent.__all__) - {"__version__"}
    assert not hasattr(vision_agent, "Visions")


def test_publishing_loads_no_agents_framework() -> None:
    code = (
        "import sys, vision_agent.cli, vision_agent.publish.command\n"
        "print([name for name in ('livekit.agents', 'rapidocr', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
