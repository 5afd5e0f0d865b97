"""What progress says of what has arrived."""

from stage_in.progress import Progress


def test_what_an_earlier_run_has_left_is_no_news() -> None:
    with Progress() as progress:
        progress.expect(500, "zip", 400)
        assert (progress.received, progress.expected) == (0, 100)
        progress.arrived("zip", 450)
        assert (progress.received, progress.expected) == (50, 100)
        assert progress.summary().startswith("0.0 MB of 0.0 MB (50%)")


def test_what_a_former_try_has_brought_is_no_news() -> None:
    with Progress() as progress:
        progress.expect(500, "zip")
        progress.arrived("zip", 300)
        progress.expect(500, "zip")
        assert (progress.received, progress.expected) == (300, 500)
        progress.arrived("zip", 200)
        assert progress.received == 300


def test_other_bodies_do_not_count() -> None:
    with Progress() as progress:
        progress.arrived("manifest", 30)
        progress.expect(500)
        progress.arrived("band", 500)
        assert (progress.received, progress.expected) == (530, 530)
