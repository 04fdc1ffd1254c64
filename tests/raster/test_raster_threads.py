"""The Numba backend with many threads, in many threads, after a fork, and without a place for its cache."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from lyra.raster import RenderOptions, rasterize

HEIGHT, WIDTH = 40, 70


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def draw_and_differentiate(random_scene, two_cameras, response="ewa", seed=0):
    return differentiate(random_scene(800, seed=seed), two_cameras(HEIGHT, WIDTH), response)


def differentiate(scene, cameras, response="ewa"):
    leaves = [t.clone().requires_grad_() for t in scene]
    planes = rasterize(*leaves, *cameras, HEIGHT, WIDTH, RenderOptions(response=response))
    (planes[0].square().sum() + planes[1].sum()).backward()
    return [plane.detach() for plane in planes] + [leaf.grad for leaf in leaves]


@pytest.mark.parametrize("response", ["ewa", "ray"])
def test_same_bits_for_any_number_of_threads(response, random_scene, two_cameras, four_threads):
    many = draw_and_differentiate(random_scene, two_cameras, response)
    torch.set_num_threads(1)
    single = draw_and_differentiate(random_scene, two_cameras, response)
    assert all(torch.equal(a, b) for a, b in zip(many, single, strict=True))


def test_several_python_threads_render_at_once(random_scene, two_cameras, four_threads):
    expected = [draw_and_differentiate(random_scene, two_cameras, seed=seed) for seed in range(4)]
    results: dict[int, list[list[torch.Tensor]]] = {seed: [] for seed in range(4)}
    start = threading.Barrier(4)

    def work(seed: int) -> None:
        start.wait()
        for _ in range(5):
            results[seed].append(draw_and_differentiate(random_scene, two_cameras, seed=seed))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        assert len(results[seed]) == 5
        for result in results[seed]:
            assert all(torch.equal(a, b) for a, b in zip(result, expected[seed], strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_renders_after_its_parent(random_scene, two_cameras, four_threads):
    scene, cameras = random_scene(800), two_cameras(HEIGHT, WIDTH)
    expected = differentiate(scene, cameras)
    # Give torch's OpenMP team work as well, so that the child inherits a dead one.
    torch.ones(1_000_000).square().sum()
    child = os.fork()
    if child == 0:
        code = 3
        try:
            result = differentiate(scene, cameras)
            code = 0 if all(torch.equal(a, b) for a, b in zip(result, expected, strict=True)) else 2
        finally:
            os._exit(code)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        finished, status = os.waitpid(child, os.WNOHANG)
        if finished:
            break
        time.sleep(0.01)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the forked child hung")
    assert os.waitstatus_to_exitcode(status) == 0
    # The parent's own threads are untouched.
    again = differentiate(scene, cameras)
    assert all(torch.equal(a, b) for a, b in zip(again, expected, strict=True))


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_renders_where_no_cache_can_be_written(tmp_path):
    # One small kernel stands for all: they share the decorator.
    code = (
        "import numpy as np\n"
        "from lyra.raster.kernels.binning import bin_by_tile\n"
        "z = np.array([2, 0, 1], np.float32)\n"
        "tiles = np.tile(np.array([0, 1, 0, 1], np.int16), (3, 1))\n"
        "offsets, entries, first = bin_by_tile(z.view(np.uint32), tiles, 1, 1)\n"
        "assert entries.tolist() == [2, 0], entries\n"
        "assert offsets.tolist() == [0, 2], offsets\n"
    )
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    result = run_python(code, NUMBA_CACHE_DIR=str(blocked / "cache"))
    assert result.returncode == 0, result.stderr


def test_forward_alone_does_not_compile_the_backward():
    code = (
        "import torch\n"
        "from lyra.raster import rasterize\n"
        "from lyra.raster.kernels import composite_ewa, composite_ray, projection\n"
        "one = torch.ones\n"
        "with torch.no_grad():\n"
        "    gaussians = one(1, 3), one(1, 4), one(1, 3), one(1), one(1, 3)\n"
        "    rasterize(*gaussians, torch.eye(4)[None], torch.eye(3)[None], 8, 8)\n"
        "assert composite_ewa.composite.signatures\n"
        "idle = (composite_ewa.composite_backward, projection.project_backward, composite_ray.composite)\n"
        "assert not any(kernel.signatures for kernel in idle)\n"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr


def test_many_views_equal_single_views(random_scene, two_cameras, four_threads):
    scene = random_scene(800)
    w2c, K = two_cameras(HEIGHT, WIDTH)
    together = rasterize(*scene, w2c.repeat(6, 1, 1), K.repeat(6, 1, 1), HEIGHT, WIDTH)
    for view in range(2):
        alone = rasterize(*scene, w2c[view : view + 1], K[view : view + 1], HEIGHT, WIDTH)
        assert all(torch.equal(a[view + 2 * k], b[0]) for k in range(6) for a, b in zip(together, alone, strict=True))
