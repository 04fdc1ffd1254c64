import torch

from lyra.geometry import reliable_mask


def oracle(depth: torch.Tensor, window: int, threshold: float) -> torch.Tensor:
    height, width = depth.shape
    margin = window // 2
    result = torch.zeros(height, width, dtype=torch.bool)
    for row in range(height):
        for column in range(width):
            part = depth[
                max(0, row - margin) : row + margin + 1, max(0, column - margin) : column + margin + 1
            ].double()
            mean = part.sum() / window**2
            result[row, column] = (part.max() - part.min()) / (mean + 1e-6) < threshold and depth[row, column] > 0
    return result


def test_it_matches_a_pixel_by_pixel_computation():
    generator = torch.Generator().manual_seed(0)
    depth = 1 + 0.04 * torch.rand(2, 9, 12, generator=generator)
    depth[:, :, 7:] += 1
    depth[1, 2:4, 2:4] = 0
    for window, threshold in ((5, 0.05), (3, 0.03)):
        expected = torch.stack([oracle(item, window, threshold) for item in depth])
        assert torch.equal(reliable_mask(depth, window, threshold), expected)
        assert 0 < expected.float().mean() < 1


def test_a_slanted_plane_is_reliable_and_a_step_is_not():
    plane = torch.linspace(2, 2.2, 30).expand(1, 20, 30)
    assert reliable_mask(plane)[0, 2:-2, 2:-2].all()
    step = torch.ones(1, 20, 30)
    step[..., 15:] = 1.5
    assert reliable_mask(step)[0, 10].tolist() == [column < 13 or column > 16 for column in range(30)]
