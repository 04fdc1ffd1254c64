"""Scenes small enough for software rendering, and a browser to look at them."""

import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import torch
from headless_chromium import Chromium, Page, find_chromium
from torch import Tensor

from lyra.structures import Cameras, Gaussians, Scene, Trajectory
from lyra.viewer import SceneServer
from lyra.viewer.site import Site

STILL = "document.documentElement.dataset.state === 'still'"


def blobs(count: int = 4000, seed: int = 0) -> Gaussians:
    """A wall of small tilted Gaussians behind a row of large, see-through ones, in front of a camera at the origin."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    large = max(1, count // 80)
    z = torch.cat([2.0 + 0.4 * uniform(count - large), 1.0 + 0.5 * uniform(large)])
    across = (uniform(count, 2) - 0.5) * torch.tensor([2.2, 1.5])
    means = torch.cat([across * z[:, None], z[:, None]], dim=1)
    size = torch.cat([torch.full((count - large,), 0.008), torch.full((large,), 0.09)])
    scales = size[:, None] * torch.exp(0.5 * torch.randn(count, 3, generator=generator))
    quats = torch.nn.functional.normalize(torch.randn(count, 4, generator=generator), dim=1)
    colors = 0.5 + 0.5 * torch.sin(3 * means + torch.tensor([0.0, 2.0, 4.0]))
    opacities = torch.cat([0.5 + 0.49 * uniform(count - large), 0.25 + 0.4 * uniform(large)])
    return Gaussians(means, quats, scales, opacities, colors)


def camera(height: int = 160, width: int = 256) -> Cameras:
    """Lens with different focal lengths and an off-centre principal point: a mix-up of any two shows."""
    K = torch.tensor([[[0.9 * width, 0, 0.52 * width], [0, 0.85 * width, 0.47 * height], [0, 0, 1]]])
    return Cameras(torch.eye(4)[None], K, height, width)


def rotation(yaw: float, pitch: float, roll: float) -> Tensor:
    """[3, 3] turn by yaw (about y), then pitch (about x), then roll (about z), radians."""
    turns = []
    for angle, (i, j) in ((yaw, (0, 2)), (pitch, (1, 2)), (roll, (0, 1))):
        turn = torch.eye(3)
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[i, j], turn[j, i] = math.sin(angle), -math.sin(angle)
        turns.append(turn)
    return turns[0] @ turns[1] @ turns[2]


def moved(cameras: Cameras, shift: tuple[float, float, float], turn: Tensor | None = None) -> Cameras:
    """The same lens elsewhere."""
    c2w = cameras.c2w.clone()
    c2w[:, :3, :3] = c2w[:, :3, :3] if turn is None else turn
    c2w[:, :3, 3] += torch.tensor(shift)
    return Cameras(c2w, cameras.K, cameras.height, cameras.width)


@pytest.fixture(scope="session")
def scene() -> Scene:
    """A still scene whose camera stands askew in the world."""
    source = moved(camera(), (0.1, -0.05, 0.15), rotation(0.06, -0.04, 0.1))
    return Scene((blobs(),), source, provenance={"photo": "blobs <&> co.jpg"})


@pytest.fixture(scope="session")
def moving_scene() -> Scene:
    """Five sets of different sizes, the last one empty; the whole wall moves to the right."""
    sets = []
    for step in range(5):
        whole = blobs(1500 + 300 * step, seed=1)
        shift = torch.tensor([0.15 * step, 0.0, 0.0])
        sets.append(Gaussians(whole.means + shift, whole.quats, whole.scales, whole.opacities, whole.colors))
    sets[4] = sets[4][:0]
    return Scene(tuple(sets), camera(), tuple(0.25 * step for step in range(5)), {"photo": "moving.mp4"})


@pytest.fixture(scope="session")
def trajectories(scene: Scene) -> tuple[Trajectory, ...]:
    """Two straight paths of five cameras."""

    def path(name: str, end: tuple[float, float, float]) -> Trajectory:
        stops = [moved(scene.source, tuple(step / 4 * x for x in end)) for step in range(5)]  # type: ignore[arg-type]
        c2w = torch.cat([stop.c2w for stop in stops])
        return Trajectory(name, Cameras(c2w, scene.source.K.expand(5, 3, 3), scene.source.height, scene.source.width))

    return path("left", (-0.3, 0, 0)), path("zoom_in", (0, 0, 0.4))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """One browser for the whole run. Without one the tests are skipped, or fail where LYRA_REQUIRE_BROWSER is set."""
    program = find_chromium()
    if program is None:
        reason = "no Chromium on this machine (on Debian and Ubuntu: apt install chromium)"
        if os.environ.get("LYRA_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    with Chromium(program) as browser:
        yield browser


@pytest.fixture
def visit(chromium: Chromium) -> Iterator[Callable[..., Page]]:
    """Open an address in a new tab of some size and wait until the picture rests; motion is instant unless asked."""
    pages = []

    def open_page(address: str, width: int = 256, height: int = 160, phone: bool = False, smooth: bool = False) -> Page:
        page = chromium.page(width, height, phone)
        pages.append(page)
        if not smooth:
            calm = [{"name": "prefers-reduced-motion", "value": "reduce"}]
            page.call("Emulation.setEmulatedMedia", features=calm)
        page.open(address)
        page.wait(STILL)
        return page

    yield open_page
    for page in pages:
        page.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Site], SceneServer]]:
    """Serve a site until the end of the test."""
    with ExitStack() as running:

        def start(site: Site) -> SceneServer:
            server = running.enter_context(SceneServer(site))
            running.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            return server

        yield start
