"""Pipelines of diffusers from a folder: what they are asked, what they return, and what is refused."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lyra.models.image_model import ImageModel, read_licence, require_image_model
from lyra.structures import InputError

CPU = torch.device("cpu")
SIZE = (256, 448)
CLASSES = ("StableDiffusionPipeline", "PixArtAlphaPipeline")


pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture
def few_steps(monkeypatch):
    """Schedulers that take two steps, whatever the pipeline asks."""
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

    for scheduler in (DDIMScheduler, DPMSolverMultistepScheduler):
        whole = scheduler.set_timesteps
        monkeypatch.setattr(
            scheduler, "set_timesteps", lambda self, steps, *rest, whole=whole, **kw: whole(self, 2, *rest, **kw)
        )


@pytest.mark.parametrize(
    ("kind", "native", "licence"), [(CLASSES[0], (32, 48), "openrail"), (CLASSES[1], (48, 80), "MIT License")]
)
def test_pipelines_of_two_classes_draw(pipelines, few_steps, kind, native, licence):
    model = ImageModel.load(pipelines[kind], CPU)
    assert kind in model.name and model.licence == licence
    assert model.native_size(*SIZE) == native
    steps = []
    first, second = model.draw("a room with a lamp", (1, 2), SIZE, on_step=lambda *at: steps.append(at))
    assert first.shape == (3, *native) and first.min() >= 0 and first.max() <= 1
    assert (first - second).abs().mean() > 0.01
    if kind == CLASSES[0]:
        assert torch.equal(model.draw("a room with a lamp", (2,), SIZE)[0], second)
        assert (model.draw("a street", (2,), SIZE)[0] - second).abs().max() > 1e-4
    assert steps == ([(0, 0), (0, 1), (1, 0), (1, 1)] if kind == CLASSES[0] else [])
    guided = model.draw("a room with a lamp", (2,), SIZE, negative="a cat", guidance=9.0)[0]
    assert (guided - second).abs().max() > 1e-4, "the negative prompt and the guidance arrive"


class Recorder:
    """A pipeline that notes what it is asked."""

    def __call__(self, prompt, negative_prompt=None, generator=None, output_type="pil"):
        self.asked = {"prompt": prompt, "negative_prompt": negative_prompt, "output_type": output_type}
        return SimpleNamespace(images=np.full((1, 4, 6, 3), 1.5, np.float32))


def test_only_what_a_pipeline_takes_is_passed_on():
    pipeline = Recorder()
    model = ImageModel(pipeline, "recorder", "none")
    (picture,) = model.draw("a room", (0,), SIZE, negative="a cat", guidance=5.0)
    assert pipeline.asked == {"prompt": "a room", "negative_prompt": "a cat", "output_type": "np"}
    assert picture.shape == (3, 4, 6) and picture.eq(1).all() and model.native_size(*SIZE) is None


def test_what_is_no_text_to_image_pipeline_is_refused():
    with pytest.raises(InputError, match="takes no prompt"):
        ImageModel(lambda image: image, "upscaler", "none")
    with pytest.raises(InputError, match="returned no picture"):
        ImageModel(lambda prompt, generator, output_type: (1, 2), "text model", "none").draw("a room", (0,), SIZE)

    def picky(prompt, generator, output_type):
        raise ValueError("sizes must be prime")

    with pytest.raises(InputError, match="sizes must be prime"):
        ImageModel(picky, "picky", "none").draw("a room", (0,), SIZE)


def test_folders_that_cannot_be_loaded(pipelines, tmp_path):
    for folder, says in ((tmp_path / "nowhere", "not a folder"), (tmp_path, "no model_index.json")):
        with pytest.raises(InputError, match=says):
            require_image_model(folder)
    broken = tmp_path / "broken"
    shutil.copytree(pipelines[CLASSES[0]], broken)
    next((broken / "unet").glob("*.safetensors")).unlink()
    with pytest.raises(InputError, match="cannot be loaded"):
        ImageModel.load(broken, CPU)
    unknown = tmp_path / "unknown"
    unknown.mkdir()
    (unknown / "model_index.json").write_text(json.dumps({"_class_name": "NoSuchPipeline", "_diffusers_version": "0"}))
    with pytest.raises(InputError, match="cannot be loaded"):
        ImageModel.load(unknown, CPU)


def test_pickled_weights_are_not_loaded(pipelines, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(pipelines[CLASSES[0]], folder)
    weights = next((folder / "unet").glob("*.safetensors"))
    weights.unlink()
    torch.save({}, weights.with_suffix(".bin"))
    with pytest.raises(InputError, match="cannot be loaded"):
        ImageModel.load(folder, CPU)


def test_a_missing_package_is_named_with_the_line_that_installs_it(pipelines, monkeypatch):
    monkeypatch.setattr("lyra.models.image_model.model.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"transformers; pip install 'lyra-scenes\[image-model\]'"):
        require_image_model(pipelines[CLASSES[0]])


@pytest.mark.parametrize(
    ("readme", "says"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: 'tiny-licence'\n---\n", "tiny-licence"),
        ("# A model\nlicense: mit\n", "not stated in the folder"),
        ("---\ntags: [a]\n---\n", "not stated in the folder"),
    ],
)
def test_the_licence_is_read_from_the_front_matter(tmp_path, readme, says):
    (tmp_path / "README.md").write_text(readme)
    assert read_licence(tmp_path) == says
