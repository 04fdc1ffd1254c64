"""A record's name follows from the work alone, and parts of the work fit together without talking."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lyra.structures import InputError
from lyra.synthesis import SynthesisOptions, parse_part, photo_jobs, prompt_jobs, world_jobs

OPTIONS = SynthesisOptions(seed=3)


def keys(folder: Path, options: SynthesisOptions = OPTIONS) -> list[str]:
    return [job.key for job in photo_jobs(folder, options)]


def test_every_picture_is_a_job_named_after_it(photos: Path) -> None:
    jobs = photo_jobs(photos, OPTIONS)
    assert [job.photo.relative_to(photos).as_posix() for job in jobs] == ["a.jpg", "more/a.jpg", "tall.png"]
    assert [job.key.rpartition("-")[0] for job in jobs] == ["a", "a", "tall"]
    assert {job.seed for job in jobs} == {3} and len({job.key for job in jobs}) == 3


def test_a_name_depends_on_the_picture_and_on_what_shapes_the_latents(photos: Path, tmp_path: Path) -> None:
    before = keys(photos)
    moved = Path(shutil.copytree(photos, tmp_path / "elsewhere"))
    assert keys(moved) == before
    assert keys(photos, replace(OPTIONS, rgb=True, device="cpu")) == before
    for change in ({"seed": 4}, {"strength": 1.5}, {"steps": 7}, {"trajectories": ("left",)}):
        assert not set(keys(photos, replace(OPTIONS, **change))) & set(before), change
    shutil.copy(photos / "tall.png", photos / "a.jpg")
    assert len(set(keys(photos)) & set(before)) == 2
    shutil.copy(photos / "a.jpg", photos / "more" / "a.jpg")
    assert len(keys(photos)) == 2  # the same picture under the same name is one job


def test_worlds_have_a_seed_each(tmp_path: Path) -> None:
    jobs = world_jobs(3, OPTIONS)
    assert [(job.world, job.seed, job.source) for job in jobs] == [
        (3, 3, "world 3"), (4, 4, "world 4"), (5, 5, "world 5"),
    ]  # fmt: skip
    more = world_jobs(5, OPTIONS)
    assert [job.key for job in more[:3]] == [job.key for job in jobs]
    assert all(job.key.startswith(f"world-{job.world}-") for job in more)


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_parts_share_the_work_out(parts: int) -> None:
    jobs = world_jobs(60, OPTIONS)
    shares = [[job for job in jobs if job.belongs_to(part, parts)] for part in range(parts)]
    assert sorted(job.key for share in shares for job in share) == sorted(job.key for job in jobs)
    assert all(len(share) > 60 / parts / 3 for share in shares)


def test_a_part_is_written_as_people_count() -> None:
    assert parse_part("1/1") == (0, 1) and parse_part("2/3") == (1, 3)
    for text in ("0/3", "4/3", "1", "a/b", "1/0", "-1/2", "1/2/3"):
        with pytest.raises(InputError, match="should be such as 1/4"):
            parse_part(text)


@pytest.mark.parametrize(
    "choice", [{"strength": 0.0}, {"steps": 0}, {"seed": -1}, {"trajectories": ("sideways",)}, {"trajectories": ()}]
)
def test_impossible_options_are_refused(choice: dict) -> None:
    with pytest.raises(InputError):
        SynthesisOptions(**choice)


def test_what_holds_no_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for folder, words in (
        (tmp_path / "gone", "does not exist"),
        (tmp_path / "notes.txt", "is a file"),
        (tmp_path, "holds no picture"),
    ):
        with pytest.raises(InputError, match=words):
            photo_jobs(folder, OPTIONS)
    with pytest.raises(InputError, match="worlds 0"):
        world_jobs(0, OPTIONS)
    with pytest.raises(InputError, match="leaves no room for 2 worlds"):
        world_jobs(2, SynthesisOptions(seed=2**31 - 1))


def test_every_line_is_a_prompt(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("# views\na quiet harbour\n\n  a red room  \na quiet harbour\n", encoding="utf-8")
    jobs = prompt_jobs(file, OPTIONS)
    assert [(job.prompt, job.source, job.seed) for job in jobs] == [
        ("a quiet harbour", "a quiet harbour", 3), ("a red room", "a red room", 3),
    ]  # fmt: skip
    assert len({job.key for job in jobs}) == 2 and jobs[1].key.startswith("a")
    assert {job.key for job in prompt_jobs(file, replace(OPTIONS, seed=4))}.isdisjoint(job.key for job in jobs)
    file.write_text("# nothing\n\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"prompts\.txt holds no prompt; write one on each line"):
        prompt_jobs(file, OPTIONS)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8 text"):
        prompt_jobs(file, OPTIONS)
    with pytest.raises(InputError, match="no such file"):
        prompt_jobs(tmp_path / "none.txt", OPTIONS)
