"""kill -9 at random moments: the same command continues, and what comes out is the same byte for byte."""

import random

import pytest

from tests.faults import pipeline


def kill_and_continue(unbroken, folder, after):
    """Kill a fresh run after the share ``after`` of the time that an unbroken one takes; then run it to the end."""
    pipeline.project(folder)
    process = pipeline.start(folder)
    process.join(after * unbroken.seconds)
    killed = process.is_alive()
    process.kill()
    process.join()
    before = {name: content for name, content in pipeline.results(folder).items() if "checkpoints" not in name}
    pipeline.finish(folder)
    found, wanted = pipeline.results(folder), pipeline.results(unbroken.folder)
    assert sorted(found) == sorted(wanted)  # no checkpoint and no lock is left
    assert [name for name in wanted if found[name] != wanted[name]] == []
    # nothing that was finished was lost, or made again as something else
    assert [name for name, content in before.items() if content != wanted[name]] == []
    return killed, len(before)


def test_kills_at_three_moments_change_no_byte(unbroken, tmp_path):
    rng = random.Random(7)
    seen = [kill_and_continue(unbroken, tmp_path / str(i), (i + rng.random()) / 3.5) for i in range(3)]
    assert sum(killed for killed, _ in seen) >= 2  # a machine that became faster may have finished once
    assert len({files for _, files in seen}) > 1  # and they fell into different stages


@pytest.mark.slow
def test_kills_at_twenty_moments_change_no_byte(unbroken, tmp_path):
    rng = random.Random(20)
    seen = [kill_and_continue(unbroken, tmp_path / str(i), rng.random()) for i in range(20)]
    assert sum(killed for killed, _ in seen) >= 15
    assert len({files for _, files in seen}) > 4


STATES = {  # what is seen on disk before the kill, and what the continuation says
    "a harvest": ("harvest/*/shards/unfinished.json", "continues after shard 1 of 2"),
    "a fine-tune": ("seed-*.pt", "continues at step"),
    "an evaluation of reconstruction": ("evaluate-reconstruction/state.pt", "reconstruction: continues after SAE"),
    "an evaluation of the host": ("evaluate-downstream/state.pt", "downstream: continues after batch"),
}


def seen(folder, pattern):
    try:
        return list(folder.rglob(pattern))
    except FileNotFoundError:  # a folder went while it was looked at
        return []


@pytest.mark.parametrize("what", STATES)
def test_what_was_killed_continues_where_it_was(unbroken, tmp_path, what):
    """Kill when a state is seen, not by the clock: what is finished is not done again."""
    pattern, says = STATES[what]
    folder = pipeline.project(tmp_path / "p")
    process = pipeline.start(folder)
    states = folder / "results/checkpoints"
    while process.is_alive() and not seen(states, pattern):
        process.join(0.001)
    process.kill()
    process.join()
    assert seen(states, pattern), "it was done before it was seen"
    pipeline.finish(folder)
    assert says in (folder / "log.txt").read_text()
    assert pipeline.results(folder) == pipeline.results(unbroken.folder)
