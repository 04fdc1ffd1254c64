import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps

from lyra.io import fit_photo, nano_grid, read_photo, save_image
from lyra.io.images import LARGEST_SIDE
from lyra.structures import InputError


def picture(height: int = 24, width: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(tmp_path, image: Image.Image, name: str = "photo.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def as_bytes(rgb: torch.Tensor) -> np.ndarray:
    return (rgb[0] * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)


def test_an_ordinary_picture_comes_back_exactly(tmp_path):
    photo = read_photo(saved(tmp_path, Image.fromarray(picture())))
    assert photo.frames.rgb.shape == (1, 3, 24, 40)
    np.testing.assert_array_equal(as_bytes(photo.frames.rgb), picture())
    assert photo.focal_px_fraction is None
    assert photo.notices == ()


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr"])
def test_every_opaque_mode_becomes_rgb(tmp_path, mode):
    image = Image.fromarray(picture()).convert(mode)
    suffix = "tif" if mode in ("CMYK", "YCbCr") else "png"
    photo = read_photo(saved(tmp_path, image, f"photo.{suffix}"))
    np.testing.assert_array_equal(as_bytes(photo.frames.rgb), np.asarray(image.convert("RGB")))


def test_a_cmyk_jpeg_has_its_colours(tmp_path):
    flat = Image.new("CMYK", (32, 32), (0, 255, 255, 0))  # pure red
    photo = read_photo(saved(tmp_path, flat, "cmyk.jpg", quality=95))
    mean = photo.frames.rgb.mean(dim=(0, 2, 3))
    assert mean[0] > 0.9
    assert mean[1:].max() < 0.1


def test_sixteen_bit_grey_keeps_its_range(tmp_path):
    values = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    rgb = read_photo(saved(tmp_path, Image.fromarray(values))).frames.rgb
    assert torch.allclose(rgb[0, 1], torch.from_numpy(values.astype(np.float32)) / 65535)


def test_floating_point_values_above_one_are_scaled_and_told(tmp_path):
    values = np.linspace(0, 20, 32 * 32).reshape(32, 32).astype(np.float32)
    photo = read_photo(saved(tmp_path, Image.fromarray(values), "float.tif"))
    assert torch.allclose(photo.frames.rgb[0, 0], torch.from_numpy(values) / 20)
    assert "divided" in photo.notices[0]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_blended_over_white(tmp_path, mode):
    alpha = Image.fromarray(np.tile(np.array([0, 128, 255, 128], np.uint8), (24, 10)))
    image = Image.fromarray(picture()).convert("L" if mode == "LA" else "RGB")
    image.putalpha(alpha)
    photo = read_photo(saved(tmp_path, image))
    colour = np.asarray(image.convert("RGBA")).astype(np.float64) / 255
    expected = colour[..., :3] * colour[..., 3:] + 1 - colour[..., 3:]
    np.testing.assert_allclose(photo.frames.rgb[0].permute(1, 2, 0).numpy(), expected, atol=1e-6)
    assert "white" in photo.notices[0]


def test_a_transparent_palette_entry_is_white(tmp_path):
    image = Image.fromarray(picture()).quantize(4)
    expected = np.asarray(image) == 2
    photo = read_photo(saved(tmp_path, image, "palette.png", transparency=2))
    white = (photo.frames.rgb[0] == 1).all(0).numpy()
    assert expected.any()
    assert white[expected].all()


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_the_first_frame_is_used_and_told(tmp_path, suffix):
    red, blue = Image.new("RGB", (32, 24), (255, 0, 0)), Image.new("RGB", (32, 24), (0, 0, 255))
    path = tmp_path / f"animation.{suffix}"
    red.save(path, save_all=True, append_images=[blue], duration=50)
    photo = read_photo(path)
    assert photo.frames.rgb[0, 0].min() > 0.95
    assert photo.frames.rgb[0, 2].max() < 0.05
    assert "only the first" in photo.notices[0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_applied(tmp_path, orientation):
    image = Image.fromarray(picture())
    image.getexif()[ExifTags.Base.Orientation] = orientation
    path = saved(tmp_path, image, exif=image.getexif())
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(as_bytes(read_photo(path).frames.rgb), expected)


def with_exif(tmp_path, size: tuple[int, int], orientation: int = 1, **tags: float):
    image = Image.new("RGB", size, (90, 120, 30))
    exif = image.getexif()
    exif[ExifTags.Base.Orientation] = orientation
    details = exif.get_ifd(ExifTags.IFD.Exif)
    for name, value in tags.items():
        details[ExifTags.Base[name]] = value
    return saved(tmp_path, image, "exif.jpg", exif=exif)


def test_the_35_mm_equivalent_gives_the_focal_length_by_the_diagonal(tmp_path):
    fraction = read_photo(with_exif(tmp_path, (300, 200), FocalLengthIn35mmFilm=36)).focal_px_fraction
    assert fraction == pytest.approx(1.0)
    fraction = read_photo(with_exif(tmp_path, (400, 300), FocalLengthIn35mmFilm=26)).focal_px_fraction
    assert fraction == pytest.approx(26 / (36**2 + 24**2) ** 0.5 * 500 / 400)


def test_a_turned_photo_relates_the_focal_length_to_its_new_width(tmp_path):
    fraction = read_photo(with_exif(tmp_path, (300, 200), 6, FocalLengthIn35mmFilm=36)).focal_px_fraction
    assert fraction == pytest.approx(300 / 200)


def test_focal_length_with_sensor_resolution(tmp_path):
    tags = {"FocalLength": 50.0, "FocalPlaneXResolution": 400 / 36.0, "FocalPlaneResolutionUnit": 4}
    assert read_photo(with_exif(tmp_path, (400, 300), **tags)).focal_px_fraction == pytest.approx(50 / 36, rel=1e-3)
    # stored at 400 pixels, taken at 4000; and the same resolution per inch
    tags = {**tags, "ExifImageWidth": 4000, "FocalPlaneResolutionUnit": 2, "FocalPlaneXResolution": 4000 / 36 * 25.4}
    assert read_photo(with_exif(tmp_path, (400, 300), **tags)).focal_px_fraction == pytest.approx(50 / 36, rel=1e-3)


def test_absurd_or_missing_focal_lengths_are_not_believed(tmp_path):
    assert read_photo(with_exif(tmp_path, (300, 200), FocalLengthIn35mmFilm=60000)).focal_px_fraction is None
    assert read_photo(with_exif(tmp_path, (300, 200), FocalLengthIn35mmFilm=0)).focal_px_fraction is None
    assert read_photo(with_exif(tmp_path, (300, 200), FocalLength=50.0)).focal_px_fraction is None


def test_large_photos_are_reduced_and_told(tmp_path):
    image = Image.fromarray(np.tile(np.linspace(0, 255, 4200).astype(np.uint8), (300 * 2, 1)))
    for name in ("large.png", "large.jpg"):
        photo = read_photo(saved(tmp_path, image, name))
        assert photo.frames.rgb.shape == (1, 3, round(600 * LARGEST_SIDE / 4200), LARGEST_SIDE)
        assert "reduced from 4200 x 600" in photo.notices[0]
        assert torch.allclose(photo.frames.rgb[0, 0, 100], torch.linspace(0, 1, LARGEST_SIDE), atol=0.02)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header states a size that its data do not hold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def encoded(kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(200, 300)).save(buffer, kind, **options)
    return buffer.getvalue()


BAD_FILES = {
    "empty": (b"", "is empty"),
    "text": (b"these are words, not pixels", "not a picture"),
    "video": (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41", "not a picture"),
    "truncated_jpeg": (encoded("JPEG")[:4000], "damaged or cut off"),
    "truncated_png": (encoded("PNG")[:4000], "damaged or cut off"),
    "truncated_webp": (encoded("WEBP", lossless=True)[:4000], "damaged or cut off|not a picture"),
    "header_only_jpeg": (encoded("JPEG")[:30], "damaged or cut off|not a picture"),
    "hollow_png": (png_claiming(64, 64), "damaged or cut off"),
    "bomb": (png_claiming(60000, 60000), "too many pixels"),
    "dot": (png_claiming(1, 1), "only 1 x 1 pixels"),
    "ribbon": (png_claiming(40000, 10), "40000 x 10 pixels, too long"),
    "pillar": (png_claiming(20, 161), "too long"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused_in_one_line_that_names_them(tmp_path, name):
    content, words = BAD_FILES[name]
    path = tmp_path / f"{name}.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_photo(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_photo(tmp_path / "nothing.jpg")
    with pytest.raises(InputError, match="is a folder"):
        read_photo(tmp_path)
    with pytest.raises(InputError):
        read_photo(tmp_path / ("n" * 300 + ".jpg"))
    with pytest.raises(InputError):
        read_photo("zero\0byte.jpg")


def test_the_limit_of_pillow_is_respected(tmp_path, monkeypatch):
    path = saved(tmp_path, Image.fromarray(picture(40, 60)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="too many pixels"):
        read_photo(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # Pillow would only warn
    assert read_photo(path).frames.width == 60


def test_damaged_exif_is_told_but_does_not_stop(tmp_path):
    path = saved(tmp_path, Image.fromarray(picture()), "exif.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    photo = read_photo(path)
    assert photo.frames.width == 40
    assert photo.focal_px_fraction is None
    assert "EXIF" in photo.notices[0]


def test_the_grid_follows_the_longer_side():
    assert nano_grid(4000, 3000) == (256, 448)
    assert nano_grid(3000, 4000) == (448, 256)
    assert nano_grid(100, 100) == (256, 448)


def ramp(height: int, width: int) -> torch.Tensor:
    """Red grows with x, green with y, from 0 to 1 over the picture."""
    x = ((torch.arange(width) + 0.5) / width).expand(height, width)
    y = ((torch.arange(height) + 0.5) / height)[:, None].expand(height, width)
    return torch.stack([x, y, torch.zeros(height, width)])


@pytest.mark.parametrize("mode", ["crop", "pad"])
@pytest.mark.parametrize("size", [(300, 200), (200, 450), (31, 17), (256, 448)])
def test_fitting_keeps_the_shape_and_reports_where_pixels_went(mode, size):
    height, width = 64, 112
    photo = ramp(*size)
    fitted, fit = fit_photo(photo, height, width, mode)
    assert fitted.shape == (3, height, width)
    assert fit.scale_x == pytest.approx(fit.scale_y, rel=0.03)
    inside_x = (torch.arange(width) + 0.5 - fit.offset_x) / fit.scale_x / size[1]
    inside_y = (torch.arange(height) + 0.5 - fit.offset_y) / fit.scale_y / size[0]
    for line, places in ((fitted[0, height // 2], inside_x), (fitted[1, :, width // 2], inside_y)):
        known = (places > 0.05) & (places < 0.95)
        assert known.sum() > 5
        assert torch.allclose(line[known], places[known], atol=0.02)
    covered = ((inside_x > 0) & (inside_x < 1)).all() and ((inside_y > 0) & (inside_y < 1)).all()
    assert covered == (mode == "crop" or size == (256, 448))
    assert fit.focal_px_fraction(0.8) == pytest.approx(0.8 * size[1] * fit.scale_x / width)


def test_fitting_is_antialiased():
    checks = torch.tensor([0.0, 1.0]).repeat(4 * 112)[None].expand(8 * 64, -1)
    fitted, _ = fit_photo(checks.expand(3, -1, -1), 64, 112)
    assert (fitted - 0.5).abs().max() < 0.05


def test_an_unknown_fit_is_refused():
    with pytest.raises(ValueError, match="neither crop nor pad"):
        fit_photo(torch.zeros(3, 20, 20), 16, 16, "stretch")


def test_pictures_are_saved_in_both_layouts_and_folders_made(tmp_path):
    values = torch.from_numpy(picture()).permute(2, 0, 1)
    for index, rgb in enumerate((values, values.permute(1, 2, 0), values.float() / 255)):
        path = tmp_path / "new" / f"{index}.png"
        save_image(path, rgb)
        np.testing.assert_array_equal(np.asarray(Image.open(path)), picture())
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["0.png", "1.png", "2.png"]


def test_pictures_that_cannot_be_saved_say_so(tmp_path):
    rgb = torch.zeros(3, 16, 16)
    with pytest.raises(InputError, match="unknown suffix"):
        save_image(tmp_path / "picture.xyz", rgb)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        save_image(tmp_path / "file" / "picture.png", rgb)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match="a folder of that name"):
        save_image(tmp_path / "folder.png", rgb)
    with pytest.raises(ValueError, match="expected shape"):
        save_image(tmp_path / "picture.png", torch.zeros(16, 16))


@pytest.mark.parametrize("mode", ["crop", "pad"])
@pytest.mark.parametrize("size", [(61, 160), (200, 97), (90, 150)])
def test_a_finer_grid_shows_the_same_place(mode, size):
    """Its 2 x 2 means are the coarse picture; where that repeats its last row, it repeats half of it."""
    ramp = torch.stack(torch.meshgrid(torch.linspace(0, 1, size[0]), torch.linspace(0, 1, size[1]), indexing="ij"))
    photo = torch.cat([ramp, ramp.mean(0, keepdim=True)])
    coarse, placement = fit_photo(photo, 32, 56, mode)
    fine, finer = fit_photo(photo, 32, 56, mode, factor=2)
    assert fine.shape == (3, 64, 112)
    means = torch.nn.functional.avg_pool2d(fine[None], 2)[0]
    assert float((means - coarse).abs().max()) < (6e-3 if mode == "crop" else 2e-2)
    assert float((means - coarse).mean(dim=(1, 2)).abs().max()) < 5e-4
    assert finer.scale_x == 2 * placement.scale_x and finer.offset_y == 2 * placement.offset_y
    assert finer.focal_px_fraction(0.9) == placement.focal_px_fraction(0.9)
