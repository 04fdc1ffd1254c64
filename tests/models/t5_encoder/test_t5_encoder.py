"""A tiny T5 as a folder on disk, against the published recipe: padding to 512 tokens, states of the padding zero."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from lyra.cli import main
from lyra.hub.text_embedding import read_text_embedding
from lyra.models.t5_encoder import T5Encoder
from lyra.models.teacher import TeacherConfig
from lyra.stages.imagine_published import text_tokens
from lyra.structures import InputError

pytest.importorskip("transformers")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    where = tmp_path_factory.mktemp("encoders") / "tiny-t5"
    letters = [(letter, -3.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    torch.manual_seed(0)
    T5Tokenizer([("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *letters], extra_ids=0).save_pretrained(where)
    config = T5Config(vocab_size=64, d_model=16, d_ff=16, d_kv=8, num_layers=2, num_heads=2, decoder_start_token_id=0)
    T5ForConditionalGeneration(config).save_pretrained(where)
    return where


@torch.no_grad()
def test_states_are_those_of_the_published_recipe(folder: Path) -> None:
    from transformers import AutoTokenizer, T5EncoderModel

    encoder = T5Encoder.load(folder, CPU, torch.float32)
    found = encoder.embed("a quiet garden")
    tokenizer, network = AutoTokenizer.from_pretrained(folder), T5EncoderModel.from_pretrained(folder)
    padded = tokenizer(["a quiet garden"], return_tensors="pt", truncation=True, padding="max_length", max_length=512)
    states = network(**padded).last_hidden_state[0]
    states[int(padded["attention_mask"].sum()) :] = 0
    wide = text_tokens(found, TeacherConfig(text_dim=16, text_tokens=512))
    torch.testing.assert_close(wide[0], states, rtol=1e-5, atol=1e-5)
    assert len(found) == int(padded["attention_mask"].sum()) and encoder.embed("").shape == (1, 16)
    assert encoder.embed("garden " * 400).shape == (512, 16)
    assert T5Encoder.load(folder, CPU).embed("sea").dtype == torch.bfloat16


def test_words_become_a_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "garden.safetensors"
    words = ["models", "embed-text", "a garden", "-o", str(file), "--device", "cpu", "--encoder"]
    assert main([*words, str(folder)]) == 0
    expected = T5Encoder.load(folder, CPU).embed("a garden").float()
    assert torch.equal(read_text_embedding(file), expected)
    with safe_open(file, "pt") as stored:
        assert stored.metadata() == {"prompt": "a garden", "encoder": "tiny-t5"}
    capsys.readouterr()
    assert main([*words, str(tmp_path)]) == 2 and "has no config.json" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "none")]) == 2 and "is not a folder" in capsys.readouterr().err


def test_a_damaged_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be loaded"):
        T5Encoder.load(tmp_path, CPU)
