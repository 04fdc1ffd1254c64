"""The server hands out its table and nothing else, by the rules of HTTP."""

import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch

from lyra.io.scene_folder import SceneFolder, save_scene
from lyra.structures import Cameras, Gaussians, InputError, Scene
from lyra.viewer import SceneServer, scene_site
from lyra.viewer.site import Resource, Site

Ask = Callable[..., tuple[http.client.HTTPResponse, bytes]]
DIGITS = bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scene folder with a film, a link to a secret, and a secret beside the folder."""
    blob = Gaussians(torch.tensor([[0, 0, 1.0]]), torch.eye(4)[:1], torch.ones(1, 3), torch.ones(1), torch.ones(1, 3))
    K = torch.tensor([[[80.0, 0, 48], [0, 80.0, 32], [0, 0, 1]]])
    scene = Scene((blob, blob), Cameras(torch.eye(4)[None], K, 64, 96), (0.0, 1.0), {"photo": "garden.jpg"})
    with SceneFolder(tmp_path / "scene") as target:
        save_scene(target, scene)
        (target.path / "preview.mp4").write_bytes(DIGITS)
        (target.path / "notes.txt").write_text("private")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "scene" / "contact_sheet.png").symlink_to(tmp_path / "secret.txt")
    return tmp_path / "scene"


@pytest.fixture
def server(folder: Path, serve: Callable[[Site], SceneServer]) -> SceneServer:
    from lyra.io.scene_folder import load_scene

    return serve(scene_site(load_scene(folder), (), folder, own_camera=True))


@pytest.fixture
def ask(server: SceneServer) -> Iterator[Ask]:
    """One request, the path sent exactly as given; below the secret prefix unless it starts with a slash."""

    def request(path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)) as connection:
            where = path if path.startswith("/") else server.prefix + path
            connection.putrequest(method, where, skip_host="Host" in headers, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer, answer.read()

    yield request


def test_the_page_and_all_it_needs_are_served(ask: Ask) -> None:
    answer, body = ask("")
    assert answer.status == 200
    assert answer.getheader("Content-Type") == "text/html; charset=utf-8"
    assert int(answer.getheader("Content-Length") or 0) == len(body)
    manifest = json.loads(body.decode().split('id="manifest">')[1].split("</script>")[0])
    assert manifest["title"] == "garden.jpg"
    assert manifest["files"][0]["address"] == "files/scene.ply"
    assert [one["source"] for one in manifest["sets"]] == ["sets/0.bin", "sets/1.bin"]
    for one in [*manifest["sets"], *({"source": f["address"], "bytes": f["bytes"]} for f in manifest["files"])]:
        answer, body = ask(one["source"])
        assert (answer.status, len(body)) == (200, one["bytes"]), one


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("files/scene.ply", "application/octet-stream"),
        ("files/frames/001.ply", "application/octet-stream"),
        ("files/cameras.json", "application/json"),
        ("files/preview.mp4", "video/mp4"),
        ("sets/0.bin", "application/octet-stream"),
    ],
)
def test_kinds(ask: Ask, path: str, kind: str) -> None:
    assert ask(path)[0].getheader("Content-Type") == kind


def test_files_are_the_files_of_the_scene(ask: Ask, folder: Path) -> None:
    assert ask("files/preview.mp4")[1] == DIGITS
    assert ask("files/frames/001.ply")[1] == (folder / "frames" / "001.ply").read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        *("files", "files/", "files/frames", "files/frames/", "sets/", "sets", "files/run.json", "files/notes.txt"),
        *("files/contact_sheet.png", "../secret.txt", "files/../../secret.txt", "files/%2e%2e/%2e%2e/secret.txt"),
        *("files/..%2f..%2fsecret.txt", "files/..\\..\\secret.txt", "files//scene.ply", "files/./scene.ply"),
        *("files/scene.ply/", "files/scene.ply%00", "/", "/index.html", "/files/scene.ply", "//", "/etc/passwd"),
        *("/" + "x" * 22 + "/", "/" + "x" * 22 + "/files/scene.ply", "http://127.0.0.1/files/scene.ply"),
    ],
)
def test_nothing_else_is_found(ask: Ask, path: str) -> None:
    answer, body = ask(path)
    assert answer.status == 404
    assert body == b"Not Found\n"


def test_the_prefix_is_secret(server: SceneServer, folder: Path) -> None:
    from lyra.io.scene_folder import load_scene

    with SceneServer(scene_site(load_scene(folder), (), folder, own_camera=True)) as other:
        assert other.prefix != server.prefix
    assert len(server.token) >= 20


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{}", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:{}", ""])
def test_another_host_name_is_refused(ask: Ask, server: SceneServer, host: str) -> None:
    """A page from elsewhere whose name was made to point here says that name."""
    assert ask("", Host=host.format(server.server_port))[0].status == 404


def test_localhost_is_this_host(ask: Ask, server: SceneServer) -> None:
    assert ask("", Host=f"localhost:{server.server_port}")[0].status == 200


def test_only_the_loopback_address_listens(server: SceneServer) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.address.startswith(f"http://127.0.0.1:{server.server_port}/")


SIZE = len(DIGITS)


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-299", 100, 300),
        ("bytes=10000-", 10000, SIZE),
        ("bytes=-5", SIZE - 5, SIZE),
        (f"bytes=-{SIZE + 100}", 0, SIZE),
        (f"bytes=200-{SIZE + 100}", 200, SIZE),
    ],
)
def test_a_range_is_that_part(ask: Ask, asked: str, first: int, end: int) -> None:
    answer, body = ask("files/preview.mp4", Range=asked)
    assert answer.status == 206
    assert body == DIGITS[first:end]
    assert answer.getheader("Content-Range") == f"bytes {first}-{end - 1}/{SIZE}"
    assert answer.getheader("Accept-Ranges") == "bytes"


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused(ask: Ask, asked: str) -> None:
    answer, body = ask("files/preview.mp4", Range=asked)
    assert (answer.status, body) == (416, b"")
    assert answer.getheader("Content-Range") == f"bytes */{SIZE}"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "bytes=0-1-2"])
def test_what_is_no_single_range_gets_everything(ask: Ask, asked: str) -> None:
    answer, body = ask("files/preview.mp4", Range=asked)
    assert (answer.status, body) == (200, DIGITS)


def test_a_conditional_range_gets_everything(ask: Ask) -> None:
    assert ask("files/preview.mp4", Range="bytes=0-1", If_Range='"x"')[0].status == 200


def test_head_tells_the_same_without_a_body(ask: Ask) -> None:
    for path in ("", "files/preview.mp4", "files/none"):
        full, whole = ask(path)
        head, body = ask(path, method="HEAD")
        assert (head.status, body) == (full.status, b"")
        assert head.getheader("Content-Length") == str(len(whole))
    assert ask("files/preview.mp4", method="HEAD", Range="bytes=0-9")[0].getheader("Content-Length") == "10"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(ask: Ask, method: str) -> None:
    answer, _ = ask("", method=method)
    assert answer.status == 405
    assert answer.getheader("Allow") == "GET, HEAD"


@pytest.mark.parametrize("path", ["", "sets/0.bin", "files/none"])
def test_every_answer_protects_the_visitor(ask: Ask, path: str) -> None:
    answer, _ = ask(path)
    policy = answer.getheader("Content-Security-Policy") or ""
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert answer.getheader("Referrer-Policy") == "no-referrer"
    assert answer.getheader("Cache-Control") == "no-store"
    assert answer.getheader("Server") == "lyra"


def test_a_file_that_became_a_link_is_not_followed(ask: Ask, folder: Path) -> None:
    (folder / "cameras.json").unlink()
    (folder / "cameras.json").symlink_to(folder.parent / "secret.txt")
    assert ask("files/cameras.json")[0].status == 404


def test_a_file_that_went_away_is_not_found(ask: Ask, folder: Path) -> None:
    (folder / "preview.mp4").unlink()
    assert ask("files/preview.mp4")[0].status == 404
    assert ask("")[0].status == 200


def test_a_scene_behind_a_linked_folder_is_served(folder: Path, serve: Callable[[Site], SceneServer]) -> None:
    """The user named the link, so it is theirs to follow; only links inside are not."""
    from lyra.io.scene_folder import load_scene

    link = folder.parent / "link"
    link.symlink_to(folder)
    site = scene_site(load_scene(link), (), link, own_camera=True)
    assert "files/scene.ply" in site.resources
    assert "files/contact_sheet.png" not in site.resources


def test_a_bare_file_is_offered_under_its_own_name(folder: Path, tmp_path: Path) -> None:
    from lyra.io.scene_folder import load_scene

    bare = tmp_path / "my scene (1).ply"
    bare.write_bytes((folder / "scene.ply").read_bytes())
    site = scene_site(load_scene(bare), (), bare, own_camera=False)
    assert set(site.resources) == {"", "sets/0.bin", "files/my%20scene%20%281%29.ply"}


def test_a_visitor_that_leaves_early_is_no_fault(
    serve: Callable[[Site], SceneServer], capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(Site({"": Resource(bytes(50_000_000), "application/octet-stream")}, "default-src 'none'"))
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as early:
            early.sendall(f"GET {server.prefix} HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n".encode())
            early.recv(100)
            early.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # hang up at once
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)) as late:
        late.request("GET", server.prefix, headers={"Range": "bytes=0-3"})
        assert late.getresponse().read() == bytes(4)
    assert capsys.readouterr().err == ""


def test_a_port_in_use_or_out_of_range_is_refused() -> None:
    site = Site({}, "default-src 'none'")
    with SceneServer(site) as first, pytest.raises(InputError, match=rf"port {first.server_port} cannot be used"):
        SceneServer(site, first.server_port)
    with pytest.raises(InputError, match="outside 0…65535"):
        SceneServer(site, 65536)
    if os.name != "nt":
        assert not hasattr(socket, "SO_REUSEPORT") or not SceneServer.allow_reuse_port
