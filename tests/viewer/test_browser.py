"""The page in a real browser: what it shows is what the rasteriser draws, and its controls do what they say."""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from headless_chromium import Chromium, Page

from lyra.io.ply import write_ply
from lyra.io.scene_folder import load_scene
from lyra.raster import RenderOptions, render
from lyra.structures import Cameras, Gaussians, Scene, Trajectory
from lyra.viewer import SceneServer, export_html, scene_site
from lyra.viewer.manifest import focus_depth
from lyra.viewer.site import Site

Visit = Callable[..., Page]
Serve = Callable[[Site], SceneServer]
STILL = "document.documentElement.dataset.state === 'still'"
PATIENCE = 90.0
EQUAL_DB = 42.0
"""What 8-bit blending, 8-bit colours and the other steps of the packed form leave."""


def decibels(picture: np.ndarray, expected: torch.Tensor) -> float:
    """PSNR of a screenshot [H, W, 3] uint8 against a rendering [3, H, W]."""
    shown = torch.from_numpy(picture.copy()).permute(2, 0, 1) / 255
    return float(-10 * torch.log10((shown - expected.clamp(0, 1)).square().mean() + 1e-12))


def between(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference of two screenshots, in grey levels."""
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def rest(page: Page) -> np.ndarray:
    """The picture once it rests; the interface is hidden."""
    page.wait(STILL)
    page.run("document.body.classList.add('bare')")
    page.wait("getComputedStyle(document.querySelector('header')).opacity === '0'")
    page.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.picture()


def changed(page: Page, before: np.ndarray, level: float = 2.0) -> np.ndarray:
    """The next resting picture that differs from ``before``."""
    deadline = time.monotonic() + PATIENCE
    while between(picture := rest(page), before) < level:
        assert time.monotonic() < deadline, "the picture did not change"
        time.sleep(0.05)
    return picture


def returned(page: Page, to: np.ndarray) -> None:
    """Wait until the picture is ``to`` again, to the last bit."""
    deadline = time.monotonic() + PATIENCE
    while not np.array_equal(rest(page), to):
        assert time.monotonic() < deadline, "the picture did not come back"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def file(scene: Scene, trajectories: tuple[Trajectory, ...], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of the scene as a single file."""
    path = tmp_path_factory.mktemp("page") / "scene.html"
    export_html(path, scene, trajectories)
    return path.as_uri()


@pytest.fixture(scope="module")
def moving_file(moving_scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "moving.html"
    export_html(path, moving_scene)
    return path.as_uri()


@pytest.fixture(scope="module")
def expected(scene: Scene) -> torch.Tensor:
    """[3, H, W] what lyra renders from the scene's camera."""
    return render(scene.gaussians[0], scene.source).rgb[0]


def test_the_single_file_shows_the_scene_and_asks_for_nothing(visit: Visit, file: str, expected: torch.Tensor) -> None:
    page = visit(file)
    assert decibels(rest(page), expected) > EQUAL_DB
    assert page.complaints == []
    assert all(request == file or request.startswith("blob:") for request in page.requests), page.requests
    assert page.run("document.title") == "blobs <&> co.jpg"
    assert page.run("document.getElementById('facts').textContent").startswith("4,000 splats · ")


def test_the_served_page_shows_the_same_and_stays_at_its_server(
    visit: Visit,
    serve: Serve,
    scene: Scene,
    trajectories: tuple[Trajectory, ...],
    tmp_path: Path,
    expected: torch.Tensor,
) -> None:
    write_ply(tmp_path / "scene.ply", scene.gaussians[0])
    server = serve(scene_site(scene, trajectories, tmp_path, own_camera=True))
    page = visit(server.address)
    assert decibels(rest(page), expected) > EQUAL_DB
    assert page.complaints == []
    assert {request for request in page.requests if not request.startswith("blob:")} == {
        server.address,
        f"{server.address}sets/0.bin",
    }
    link = page.run("(e => [e.hidden, e.href, e.download])(document.getElementById('save'))")
    assert link == [False, f"{server.address}files/scene.ply", "scene.ply"]


def test_the_page_forbids_itself_to_ask_elsewhere(visit: Visit, file: str, serve: Serve) -> None:
    """The policy is in force, not only written down: even a program inside the page cannot reach a server."""
    other = serve(Site({}, "default-src 'none'"))
    page = visit(file)
    outcome = page.run(
        "new Promise(done => { addEventListener('securitypolicyviolation', e => done(e.effectiveDirective));"
        f" fetch('{other.address}').then(() => done('reached'), () => 0) }})"
    )
    assert outcome == "connect-src"


def test_a_larger_window_shows_the_same_without_gaps(visit: Visit, file: str, expected: torch.Tensor) -> None:
    """The blur grows with the picture: averaged back to the camera's size it is the camera's picture."""
    large = rest(visit(file, 768, 480)).reshape(160, 3, 256, 3, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    assert decibels(large, expected) > 38


def test_a_smaller_window_shows_what_lyra_renders_at_that_size(visit: Visit, file: str, scene: Scene) -> None:
    small = render(scene.gaussians[0], scene.source.resized(100, 160)).rgb[0]
    assert decibels(rest(visit(file, 160, 100)), small) > EQUAL_DB


@pytest.mark.parametrize(
    ("window", "zoom", "canvas", "corner"),
    [((256, 400), 1.9, (256, 340), (0, 30)), ((420, 160), 1.12, (321, 160), (50, 0))],
    ids=["tall", "wide"],
)
def test_windows_of_other_shapes_enlarge_the_picture_between_bars(
    visit: Visit,
    file: str,
    scene: Scene,
    window: tuple[int, int],
    zoom: float,
    canvas: tuple[int, int],
    corner: tuple[int, int],
) -> None:
    """A tall window enlarges 1.9 times and cuts the sides, a wide one 1.12 times and cuts top and bottom."""
    (width, height), (left, top) = canvas, corner
    K = scene.source.K.clone() * zoom
    K[0, 2, 2] = 1
    K[0, 0, 2] += (width - zoom * scene.source.width) / 2
    K[0, 1, 2] += (height - zoom * scene.source.height) / 2
    camera = Cameras(scene.source.c2w, K, height, width)
    wanted = render(scene.gaussians[0], camera, RenderOptions(eps2d=0.3 * zoom**2)).rgb[0]
    picture = rest(visit(file, *window))
    assert decibels(picture[top : top + height, left : left + width], wanted) > EQUAL_DB
    bars = np.ones(picture.shape[:2], bool)
    bars[top : top + height, left : left + width] = False
    assert bars.sum() > 5000
    assert (picture[bars] == 0).all()


def test_another_camera_sees_what_lyra_renders_from_there(visit: Visit, scene: Scene, tmp_path: Path) -> None:
    """Turned about all axes and moved, with a lens of other focal lengths."""
    a, b, c = 0.3, -0.2, 0.7
    turns = [
        torch.tensor([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]]),
        torch.tensor([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]]),
        torch.tensor([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]]),
    ]
    c2w = torch.eye(4)[None]
    c2w[0, :3, :3] = turns[0] @ turns[1] @ turns[2]
    c2w[0, :3, 3] = torch.tensor([-0.5, 0.2, 0.3])
    K = torch.tensor([[[150.0, 0, 90], [0, 190.0, 85], [0, 0, 1]]])
    askew = replace(scene, source=Cameras(c2w, K, 160, 200))
    export_html(tmp_path / "askew.html", askew)
    picture = rest(visit((tmp_path / "askew.html").as_uri(), 200, 160))
    assert decibels(picture, render(scene.gaussians[0], askew.source).rgb[0]) > EQUAL_DB


def arrives(page: Page, expected: torch.Tensor, level: float = 38.0) -> None:
    """Wait until the page shows a picture."""
    deadline = time.monotonic() + PATIENCE
    while (best := decibels(rest(page), expected)) < level and time.monotonic() < deadline:
        time.sleep(0.05)
    assert best > level


def test_the_wheel_moves_nearer_by_what_it_says(visit: Visit, file: str, scene: Scene) -> None:
    """120 wheel units are a factor exp(0.144) of the distance to what lies ahead."""
    page = visit(file)
    page.wheel((128, 80), -120)
    reach = focus_depth(scene.gaussians[0], scene.source)
    c2w = scene.source.c2w.clone()
    c2w[0, :3, 3] += (1 - math.exp(-0.144)) * reach * c2w[0, :3, 2]
    arrives(page, render(scene.gaussians[0], replace(scene.source, c2w=c2w)).rgb[0])


def test_dragging_walks_around_what_lies_ahead(visit: Visit, file: str, scene: Scene) -> None:
    """To the right by a quarter of the window's smaller side: 0.45 radians to the left around the point ahead."""
    page = visit(file)
    page.drag((128, 80), (168, 80), steps=10)
    c2w = scene.source.c2w[0]
    focus = c2w[:3, 3] + focus_depth(scene.gaussians[0], scene.source) * c2w[:3, 2]
    a = 0.45
    around_y = torch.tensor([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    turn = c2w[:3, :3] @ around_y @ c2w[:3, :3].T
    orbited = torch.eye(4)[None]
    orbited[0, :3, :3] = turn @ c2w[:3, :3]
    orbited[0, :3, 3] = focus + turn @ (c2w[:3, 3] - focus)
    arrives(page, render(scene.gaussians[0], replace(scene.source, c2w=orbited)).rgb[0])


def test_nobody_is_turned_upside_down(visit: Visit, file: str) -> None:
    page = visit(file)
    first = rest(page)
    page.drag((128, 60), (128, 100), steps=8)
    seen = [first, changed(page, first)]
    while not np.array_equal(seen[-1], seen[-2]) and len(seen) < 14:  # a camera that tumbled over would never settle
        page.drag((128, 60), (128, 100), steps=8)
        page.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        time.sleep(0.3)
        seen.append(rest(page))
    assert np.array_equal(seen[-1], seen[-2]) and between(seen[-1], first) > 2


def test_no_gaps_open_close_up(visit: Visit, tmp_path: Path) -> None:
    """At a third of the distance, a wall of pixel-sized Gaussians is drawn with nine times the blur (variance)."""
    u, v = torch.meshgrid(torch.arange(96) - 47.5, torch.arange(64) - 31.5, indexing="xy")
    means = torch.stack([u / 100 * 2, v / 100 * 2, torch.full_like(u, 2.0)], dim=-1).reshape(-1, 3)
    count = len(means)
    upright = torch.tensor([[1.0, 0, 0, 0]]).expand(count, 4)
    colors = 0.5 + 0.4 * torch.sin(4 * means)
    wall = Gaussians(means, upright, torch.full((count, 3), 0.004), torch.full((count,), 0.9), colors)
    K = torch.tensor([[[100.0, 0, 48], [0, 100.0, 32], [0, 0, 1]]])
    scene = Scene((wall,), Cameras(torch.eye(4)[None], K, 64, 96))
    export_html(tmp_path / "wall.html", scene)
    page = visit((tmp_path / "wall.html").as_uri(), 96, 64)
    arrives(page, render(wall, scene.source).rgb[0], EQUAL_DB)
    for _ in range(4):
        page.wheel((48, 32), -240)
    factor = math.exp(4 * 240 * 0.0012)
    c2w = torch.eye(4)[None]
    c2w[0, 2, 3] = 2 - 2 / factor
    close = Cameras(c2w, K, 64, 96)
    arrives(page, render(wall, close, RenderOptions(eps2d=0.3 * factor**2)).rgb[0])
    assert decibels(rest(page), render(wall, close).rgb[0]) < 25


def test_every_way_of_moving_moves_and_reset_returns(visit: Visit, file: str) -> None:
    page = visit(file)
    first = rest(page)
    seen = [first]
    movements: list[Callable[[], None]] = [
        lambda: page.drag((128, 80), (168, 90)),
        lambda: page.drag((128, 80), (158, 100), button="right"),
        lambda: page.wheel((128, 80), 200),
        lambda: page.press("w", 0.2),
        lambda: page.press("d", 0.2),
        lambda: page.press("e", 0.2),
        lambda: page.press("ArrowLeft", 0.15),
        lambda: page.press("ArrowUp", 0.15),
    ]
    for move in movements:
        move()
        picture = changed(page, first)
        assert all(between(picture, other) > 1 for other in seen), "two movements look alike"
        seen.append(picture)
        page.press("r")
        returned(page, first)
    assert page.complaints == []


def test_the_button_returns_as_the_key_does(visit: Visit, file: str) -> None:
    page = visit(file, smooth=True)
    first = rest(page)
    page.drag((128, 80), (168, 90))
    changed(page, first)
    page.run("document.body.classList.remove('bare')")
    page.click("#home")
    returned(page, first)


@pytest.fixture
def clocked(chromium: Chromium, file: str) -> Iterator[Page]:
    """The scene in a tab whose clock stands; ``step(milliseconds)`` moves it on."""
    clock = """
        let due = [], now = 0;
        requestAnimationFrame = frame => due.push(frame);
        const step = ms => { now += ms; const all = due; due = []; all.forEach(frame => frame(now)) };
    """
    page = chromium.page(256, 160)
    page.call("Page.addScriptToEvaluateOnNewDocument", source=clock)
    page.open(file)
    page.wait(f"(step(16), {STILL})")
    page.run("document.body.classList.add('bare')")
    page.wait("getComputedStyle(document.querySelector('header')).opacity === '0'")
    yield page
    page.close()


def shows(page: Page, wanted: torch.Tensor, level: float = 38.0) -> None:
    """Wait until a clocked page shows a picture, whose depth order may still be on its way."""
    deadline = time.monotonic() + PATIENCE
    while (best := decibels(page.picture(), wanted)) < level and time.monotonic() < deadline:
        page.run("step(0)")
    assert best > level


def test_movements_are_followed_smoothly(clocked: Page, scene: Scene) -> None:
    """80 milliseconds cover all but 1/e of the way."""
    clocked.wheel((128, 80), -240)
    clocked.wait("due.length > 0")
    clocked.run("step(16), step(80)")  # after a rest, the first step counts as a 60th of a second
    share = 1 - math.exp(-(1 / 60 + 0.08) / 0.08)
    c2w = scene.source.c2w.clone()
    ahead = (1 - math.exp(-0.288)) * focus_depth(scene.gaussians[0], scene.source)
    c2w[0, :3, 3] += share * ahead * c2w[0, :3, 2]
    shows(clocked, render(scene.gaussians[0], replace(scene.source, c2w=c2w)).rgb[0])


def test_keys_fly_where_they_say(visit: Visit, file: str, scene: Scene) -> None:
    """D flies to the right, so that the scene moves to the left; turning the head to the right does the same."""
    page = visit(file)
    first = rest(page)

    def shift(picture: np.ndarray) -> int:
        """Columns by which the middle rows moved to the right."""
        a, b = (x[40:120].astype(float).mean(axis=(0, 2)) for x in (first, picture))
        costs = {s: np.abs(np.roll(a, s)[40:-40] - b[40:-40]).mean() for s in range(-39, 40)}
        return min(costs, key=costs.__getitem__)

    for key, sign in (("d", -1), ("a", 1), ("ArrowRight", -1), ("ArrowLeft", 1)):
        page.press(key, 0.05)
        assert shift(changed(page, first, 0.5)) * sign > 0, key
        page.press("r")
        returned(page, first)


def test_fingers_turn_and_pinch(visit: Visit, file: str) -> None:
    page = visit(file, 256, 320, phone=True)
    first = rest(page)
    page.touch([(100, 160)], [(120, 160)], [(150, 165)])
    turned = changed(page, first)
    page.press("r")
    returned(page, first)
    page.touch([(110, 160), (146, 160)], [(90, 160), (166, 160)], [(70, 160), (186, 160)])
    assert between(changed(page, first), turned) > 1
    assert page.run("document.scrollingElement.scrollWidth <= innerWidth && visualViewport.scale === 1")
    assert page.complaints == []


def test_a_double_click_turns_to_that_point(visit: Visit, file: str, scene: Scene) -> None:
    page = visit(file)
    first = rest(page)
    page.drag((200, 50), (200, 50), steps=1)
    page.drag((200, 50), (200, 50), steps=1)
    picture = changed(page, first)
    # what was at (200, 50) is now in the middle of the lens
    patch, middle = (x.astype(int) for x in (first[42:58, 192:208], picture[67:83, 125:141]))
    elsewhere = first[67:83, 125:141].astype(int)
    assert np.abs(patch - middle).mean() < 0.5 * np.abs(elsewhere - middle).mean()


def test_the_strip_flies_along_a_path_and_comes_back(
    clocked: Page, scene: Scene, trajectories: tuple[Trajectory, ...], expected: torch.Tensor
) -> None:
    """In 3.2 seconds there, half of the way in half of the time; 0.6 seconds' rest; and back."""
    assert clocked.run("[...document.querySelectorAll('#strip span')].map(e => e.textContent)") == ["left", "zoom in"]
    pressed = "document.querySelector('#strip button').getAttribute('aria-pressed')"
    clocked.run("document.querySelector('#strip button').click(), step(16)")
    views = [render(scene.gaussians[0], trajectories[0].cameras[k]).rgb[0] for k in (2, 4)]
    assert all(decibels(picture.permute(1, 2, 0).mul(255).byte().numpy(), expected) < 25 for picture in views)
    for seconds, wanted in ((1.6, views[0]), (1.9, views[1])):
        for _ in range(round(seconds / 0.1)):
            clocked.run("step(100)")
        shows(clocked, wanted, 30)
    assert clocked.run(pressed) == "true"
    clocked.wait(f"(step(100), {STILL})")
    shows(clocked, expected)
    assert clocked.run(pressed) == "false"
    assert clocked.complaints == []


def test_whoever_takes_over_during_a_flight_is_heeded(visit: Visit, file: str) -> None:
    page = visit(file)
    first = rest(page)
    page.press("2")
    page.wait("document.querySelectorAll('#strip button')[1].getAttribute('aria-pressed') === 'true'")
    page.drag((128, 80), (140, 80))
    page.wait("document.querySelectorAll('#strip button')[1].getAttribute('aria-pressed') === 'false'")
    changed(page, first)
    page.press("r")
    returned(page, first)


def test_time_runs_jumps_and_stops(visit: Visit, moving_file: str, moving_scene: Scene) -> None:
    page = visit(moving_file)
    pictures = [render(one, moving_scene.source).rgb[0] for one in moving_scene.gaussians]
    assert decibels(pictures[0].permute(1, 2, 0).mul(255).byte().numpy(), pictures[3]) < 25
    rest(page)
    page.run("document.body.classList.remove('bare')")
    assert page.run("document.getElementById('strip').hidden && !document.getElementById('timeline').hidden")

    box = page.run("(b => [b.x, b.y, b.width, b.height])(document.getElementById('time').getBoundingClientRect())")
    before = rest(page)
    assert decibels(before, pictures[0]) > EQUAL_DB
    page.run("document.body.classList.remove('bare')")
    at = (box[0] + 0.72 * box[2], box[1] + box[3] / 2)
    page.drag(at, at, steps=1)
    assert page.run("document.getElementById('clock').textContent") == "0.75 s"
    assert decibels(changed(page, before), pictures[3]) > EQUAL_DB

    page.run("document.activeElement.blur()")
    page.press(" ")
    page.wait("document.getElementById('play').getAttribute('aria-label') === 'Pause'")
    for clock in ("1.00 s", "0.00 s", "0.25 s"):  # on, and around
        page.wait(f"document.getElementById('clock').textContent === '{clock}'")
    page.press(" ")
    page.wait("document.getElementById('play').getAttribute('aria-label') === 'Play'")
    index = int(page.run("document.getElementById('time').value"))
    assert decibels(rest(page), pictures[index]) > EQUAL_DB
    assert page.complaints == []


def test_speed_is_a_factor_on_time(visit: Visit, serve: Serve, moving_scene: Scene, tmp_path: Path) -> None:
    """Of a served scene, whose last set is empty."""
    write_ply(tmp_path / "scene.ply", moving_scene.gaussians[0])
    page = visit(serve(scene_site(moving_scene, (), tmp_path, own_camera=True)).address)
    page.run("document.getElementById('speed').click()")
    assert page.run("document.getElementById('speed').textContent") == "2×"
    page.run("document.getElementById('speed').click()")
    assert page.run("document.getElementById('speed').textContent") == "0.25×"
    page.run("document.getElementById('play').click()")
    start = time.monotonic()
    page.wait("document.getElementById('clock').textContent === '0.25 s'")
    assert time.monotonic() - start > 0.8  # a quarter of a second takes one
    page.run("(e => { e.value = 4; e.dispatchEvent(new Event('input')) })(document.getElementById('time'))")
    page.wait("document.getElementById('clock').textContent === '1.00 s'")
    deadline = time.monotonic() + PATIENCE
    while rest(page).any() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not rest(page).any()
    assert page.complaints == []


def test_backgrounds(visit: Visit, tmp_path: Path, serve: Serve) -> None:
    """Black, grey, white; the scene is composited over them as lyra does."""
    place, red = torch.tensor([[0, 0, 2.0]]), torch.tensor([[0.9, 0.2, 0.1]])
    one = Gaussians(place, torch.eye(4)[:1], torch.full((1, 3), 0.2), torch.tensor([0.6]), red)
    K = torch.tensor([[[200.0, 0, 100], [0, 200.0, 60], [0, 0, 1]]])
    small = Scene((one,), Cameras(torch.eye(4)[None], K, 120, 200))
    export_html(tmp_path / "one.html", small)
    page = visit((tmp_path / "one.html").as_uri(), 200, 120)
    for colour in ((0.0, 0.0, 0.0), (0.36, 0.36, 0.38), (1.0, 1.0, 1.0)):
        picture = rest(page)
        assert np.abs(picture[2, 2] - 255 * np.array(colour)).max() <= 1
        wanted = render(one, small.source, RenderOptions(background=colour)).rgb[0]
        assert decibels(picture, wanted) > 48
        page.press("b")
        page.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_a_bare_file_has_no_strip(visit: Visit, serve: Serve, scene: Scene, tmp_path: Path) -> None:
    write_ply(tmp_path / "found.ply", scene.gaussians[0])
    bare = load_scene(tmp_path / "found.ply")
    server = serve(scene_site(bare, (), tmp_path / "found.ply", own_camera=False))
    page = visit(server.address, 448, 256)
    assert page.run("document.getElementById('strip').hidden && document.getElementById('timeline').hidden")
    assert page.run("document.title") == "found.ply"
    assert decibels(rest(page), render(bare.gaussians[0], bare.source).rgb[0]) > EQUAL_DB
    # twice the pixels: the blur stays that of a pixel, as for scenes from elsewhere
    page.resize(896, 512)
    page.wait("document.getElementById('view').width === 896")
    large = render(bare.gaussians[0], bare.source.resized(512, 896)).rgb[0]
    assert decibels(rest(page), large) > EQUAL_DB


def test_help_lists_the_keys_and_closes(visit: Visit, file: str) -> None:
    page = visit(file, 800, 700)
    page.press("?")
    page.wait("document.getElementById('help').open")
    page.press("d", 0.1)  # flies nowhere behind the help
    text = page.run("document.getElementById('help').innerText")
    assert all(word in text for word in ("pinch", "fly along a camera path", "full screen"))
    assert "play, pause" not in text  # nothing moves in this scene
    page.click("#help button")
    page.wait("!document.getElementById('help').open")
    assert page.run(STILL)


def test_a_browser_without_webgl_is_told_so(chromium: Chromium, file: str) -> None:
    page = chromium.page(400, 300)
    without = "HTMLCanvasElement.prototype.getContext = () => null"
    page.call("Page.addScriptToEvaluateOnNewDocument", source=without)
    page.open(file)
    page.wait("document.documentElement.dataset.state === 'failed'")
    assert "WebGL2 is missing" in page.run("document.getElementById('message').innerText")
    assert page.run("getComputedStyle(document.getElementById('notice')).opacity") == "1"
    page.close()


def test_damaged_data_is_told(chromium: Chromium, file: str, tmp_path: Path) -> None:
    from urllib.parse import unquote, urlsplit

    text = Path(unquote(urlsplit(file).path)).read_text(encoding="utf-8")
    manifest = text.split('id="manifest">')[1].split("</script>")[0]
    record = json.loads(manifest)
    record["sets"][0]["count"] += 1
    (tmp_path / "damaged.html").write_text(text.replace(manifest, json.dumps(record)), encoding="utf-8")
    page = chromium.page(400, 300)
    page.open((tmp_path / "damaged.html").as_uri())
    page.wait("document.documentElement.dataset.state === 'failed'")
    assert "damaged" in page.run("document.getElementById('message').innerText")
    page.close()
