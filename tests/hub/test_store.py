"""Saving, finding and loading models."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import safetensors.torch
import torch

from lyra.hub import WEIGHTS_VARIABLE, known_names, list_models, load_model, register, save_model
from lyra.models.tokenizer import CosmosTokenizer, NanoTokenizer, NanoTokenizerConfig, Tokenizer
from lyra.structures import InputError

CONFIG = NanoTokenizerConfig(latent_channels=8, widths=(32, 48), blocks=(1, 1))
NAME = "tokenizer/nano"


def trained() -> NanoTokenizer:
    torch.manual_seed(0)
    net = NanoTokenizer(CONFIG)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if ".mix." in name:
                parameter.normal_(std=0.1)
    net.set_latent_statistics(torch.randn(8), torch.rand(8) + 0.5)
    return net


def saved(folder: Path) -> Path:
    return save_model(
        trained(), NAME, CONFIG, recipe={"steps": 10, "crop": (17, 128)}, seed=3, scores={"psnr": 29.5},
        licence="CC0", credits=("A", "B"), weights_dir=folder,
    )  # fmt: skip


def rewrite_card(folder: Path, **changes: object) -> None:
    path = folder / f"{NAME}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_round_trip(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert path == tmp_path / "tokenizer" / "nano.safetensors"
    assert sorted(os.listdir(path.parent)) == ["nano.json", "nano.safetensors"]
    source, loaded = trained().eval(), load_model(NAME, weights_dir=tmp_path)
    assert isinstance(loaded, NanoTokenizer)
    assert loaded.config == CONFIG
    assert not loaded.training
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.latent_std, source.latent_std)
    video = torch.rand(1, 3, 9, 16, 16)
    with torch.no_grad():
        exact, rough = source.decode(source.encode(video)), loaded.decode(loaded.encode(video))
    assert 0 < (exact - rough).abs().mean() < 0.02 * exact.std()


def test_full_precision_is_exact(tmp_path: Path) -> None:
    save_model(trained(), NAME, CONFIG, "fp32", weights_dir=tmp_path)
    loaded = load_model(NAME, weights_dir=tmp_path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in trained().state_dict().items())


def test_card_tells_everything(tmp_path: Path) -> None:
    path = saved(tmp_path)
    (card,) = list_models(tmp_path)
    assert (card.name, card.seed, card.scores) == (NAME, 3, {"psnr": 29.5})
    assert (card.licence, card.credits) == ("CC0", ("A", "B"))
    assert card.recipe == {"steps": 10, "crop": [17, 128]}
    assert card.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card.size == path.stat().st_size
    assert card.parameters == sum(parameter.numel() for parameter in trained().parameters())


def test_a_folder_of_the_users_own(tmp_path: Path) -> None:
    own = tmp_path / "my tokenizer"
    save_model(trained(), NAME, CONFIG, folder=own)
    assert sorted(os.listdir(own)) == ["card.json", "model.safetensors"]
    for name in (own, str(own)):
        assert load_model(name).config == CONFIG  # type: ignore[arg-type]


def test_environment_names_the_weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "a")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "a"))
    assert load_model(NAME).config == CONFIG  # type: ignore[arg-type]
    assert [card.name for card in list_models()] == [NAME]
    with pytest.raises(InputError, match=f"no weights in .*{WEIGHTS_VARIABLE}"):
        load_model(NAME, weights_dir=tmp_path / "b")
    assert list_models(tmp_path / "b") == []


def test_loading_leaves_the_random_state_alone(tmp_path: Path) -> None:
    saved(tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(NAME, weights_dir=tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    for name in ("tokenizer/nano2", "nonsense"):
        with pytest.raises(InputError, match=r"known: .*teacher/nano, text/nano, .*tokenizer/nano"):
            load_model(name, weights_dir=tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        load_model(tmp_path / "absent")
    with pytest.raises(InputError, match="unknown model"):
        save_model(trained(), "tokenizer/other", CONFIG, weights_dir=tmp_path)


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"nano\.safetensors: checksum .* reinstall"):
        load_model(NAME, weights_dir=tmp_path)


def test_absent_and_unreadable_files(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match="weight file is absent"):
        load_model(NAME, weights_dir=tmp_path)
    (tmp_path / f"{NAME}.json").write_text("{")
    with pytest.raises(InputError, match="not a readable model card"):
        load_model(NAME, weights_dir=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no model card here"):
        load_model(tmp_path / "empty")


def test_text_that_is_not_safetensors(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.write_bytes(b"hello, this is no weight file")
    rewrite_card(tmp_path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(InputError, match="not a safetensors file"):
        load_model(NAME, weights_dir=tmp_path)


def test_missing_tensors_are_listed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    tensors = safetensors.torch.load(path.read_bytes())
    del tensors["merge.bias"], tensors["latent_mean"]
    path.write_bytes(safetensors.torch.save(tensors))
    rewrite_card(tmp_path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(InputError, match=r"missing: latent_mean, merge\.bias"):
        load_model(NAME, weights_dir=tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"latent_channels": 8, "width": 3}}, "unknown fields width"),
        ({"config": {"latent_channels": 4}}, "has shape"),
        ({"name": "depth/nano"}, "card is that of depth/nano"),
        ({"format": 99}, "newer version"),
        ({"surprise": 1}, "unknown fields surprise"),
        ({"storage": "int4"}, "expected one of"),
    ],
)
def test_wrong_cards(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    saved(tmp_path)
    if "latent_channels" in str(changes) and "width" not in str(changes):
        changes = {"config": {"latent_channels": 4, "widths": [32, 48], "blocks": [1, 1]}}
    rewrite_card(tmp_path, **changes)
    with pytest.raises(InputError, match=message):
        load_model(NAME, weights_dir=tmp_path)


def test_a_failed_save_keeps_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        save_model(NanoTokenizer(CONFIG), NAME, CONFIG, weights_dir=tmp_path)
    assert path.read_bytes() == before
    assert sorted(os.listdir(path.parent)) == ["nano.json", "nano.safetensors"]
    assert load_model(NAME, weights_dir=tmp_path).config == CONFIG  # type: ignore[arg-type]


def test_a_config_of_another_class_is_refused(tmp_path: Path) -> None:
    @dataclass
    class Other:
        pass

    with pytest.raises(InputError, match="NanoTokenizerConfig, got Other"):
        save_model(trained(), NAME, Other(), weights_dir=tmp_path)


def test_registering() -> None:
    classes = ("lyra.models.tokenizer:CosmosTokenizer", "lyra.models.tokenizer:CosmosTokenizerConfig")
    register("tokenizer/nano", "lyra.models.tokenizer:NanoTokenizer", "lyra.models.tokenizer:NanoTokenizerConfig")
    with pytest.raises(InputError, match="is taken by"):
        register("tokenizer/nano", *classes)
    for name in ("tokenizer", "a/b/c", "../x", "a/", "a/.."):
        with pytest.raises(InputError, match="task/name"):
            register(name, *classes)
    assert "decoder/nano" in known_names()


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    assert isinstance(load_model(NAME, weights_dir=tmp_path, kind=Tokenizer), NanoTokenizer)
    with pytest.raises(InputError, match="tokenizer/nano is a NanoTokenizer; a CosmosTokenizer is needed"):
        load_model(NAME, weights_dir=tmp_path, kind=CosmosTokenizer)
