import vision_agent


def test_all_is_sorted_and_real() -> None:
    assert vision_agent.__all__ == sorted(vision_agent.__all__)
    assert all(hasattr(vision_agent, name) for name in vision_agent.__all__)
