"""Published checkpoints to a model folder and back."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from lyra.hub import config_from_dict
from lyra.hub.folder_card import FolderCard
from lyra.hub.model_folder import load_network, read_description, verify
from lyra.hub.official import SLOTS, export_official, import_official
from lyra.models.decoder import DecoderConfig, GaussianDecoder
from lyra.models.teacher import PublishedTeacher, TeacherConfig
from lyra.models.tokenizer import CosmosTokenizer
from lyra.structures import InputError

from .conftest import TINY, fake_state, names_of, tiny_slots, write_fake

ROLES = ("tokenizer", "teacher", "decoder-static")
DESCRIPTION = {"preset": {"name": "toy"}}


def test_a_model_folder_holds_what_the_checkpoints_held(checkpoints: Path, tmp_path: Path) -> None:
    out, heard = tmp_path / "deep" / "model", []
    cards = import_official(
        checkpoints, out, DESCRIPTION, ROLES, tiny_slots(), lambda role, share: heard.append((role, share))
    )
    assert [card.name for card in cards] == [
        "tokenizer/cosmos-cv8x8x8-720p",
        "teacher/gen3c-cosmos-7b",
        "decoder/lyra-static",
    ]
    assert read_description(out) == DESCRIPTION
    assert sorted(path.name for path in out.iterdir()) == sorted([*ROLES, "model.json"])
    assert heard[-1] == ("decoder-static", 1.0) and [share for _, share in heard] == sorted(share for _, share in heard)
    for seed, (slot, kind) in enumerate(
        zip(tiny_slots(), (CosmosTokenizer, PublishedTeacher, GaussianDecoder), strict=False)
    ):
        network = load_network(out / slot.role, kind)
        for name, expected in fake_state(slot, seed).items():
            found = network.state_dict()[name]
            if name in ("latent_mean", "latent_std"):
                assert found.dtype == torch.float32 and torch.equal(found, expected)
            else:
                assert found.dtype == torch.bfloat16 and torch.equal(found, expected.bfloat16()), name
        card = FolderCard.read(out / slot.role)
        assert card.licence == "NVIDIA Open Model License" and card.source["repository"] == slot.repository
        data = (out / slot.role / card.files[0].name).read_bytes()
        assert card.files[0].sha256 == hashlib.sha256(data).hexdigest() == card.sha256 and card.size == len(data)
        verify(out / slot.role)
    teacher = FolderCard.read(out / "teacher")
    assert config_from_dict(TeacherConfig, teacher.config) == TINY["teacher"]
    assert load_network(out / "teacher", PublishedTeacher, dtype=torch.float32).backbone.dtype == torch.float32


def test_constants_that_are_no_weights_are_there_after_loading(checkpoints: Path, tmp_path: Path) -> None:
    import_official(checkpoints, tmp_path / "model", DESCRIPTION, ("tokenizer",), tiny_slots())
    network = load_network(tmp_path / "model" / "tokenizer", CosmosTokenizer, dtype=torch.float32)
    assert not any(value.is_meta for value in [*network.buffers(), *network.parameters()])
    again = CosmosTokenizer(TINY["tokenizer"])
    again.load_state_dict(network.state_dict())
    clip = torch.rand(1, 3, 9, 32, 32)
    assert torch.equal(network.encode(clip), again.eval().encode(clip))


def test_there_and_back_gives_the_same_tensors(checkpoints: Path, tmp_path: Path) -> None:
    slots = tiny_slots()
    roles = [slot.role for slot in slots]
    import_official(checkpoints, tmp_path / "model", DESCRIPTION, roles, slots)
    written = export_official(tmp_path / "model", tmp_path / "back", slots)
    assert len(written) == 5 and all(path.is_file() for path in written)
    loaded = torch.load(tmp_path / "back" / "Gen3C-Cosmos-7B" / "model.pt", weights_only=True)["model"]
    expected = fake_state(slots[1], 1)
    assert torch.equal(loaded["net.affline_norm.weight"], expected["backbone.time_embed.norm.weight"].bfloat16())
    mean, std = torch.load(tmp_path / "back" / slots[0].folder / "mean_std.pt", weights_only=True)
    assert torch.equal(mean.view(4, 3), fake_state(slots[0], 0)["latent_mean"]) and std.shape == (12,)
    import_official(tmp_path / "back", tmp_path / "again", DESCRIPTION, roles, slots)
    for role in roles:
        first, second = (FolderCard.read(tmp_path / folder / role) for folder in ("model", "again"))
        assert first.sha256 == second.sha256


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_the_tokenizer_comes_from_its_two_torchscript_files(checkpoints: Path, tmp_path: Path) -> None:
    slot = tiny_slots()[0]
    folder = checkpoints / slot.folder
    state = fake_state(slot, 7)
    named = {published: state[own] for published, own in slot.names(state).items()}

    class Nest(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    for file, parts in (
        ("encoder.jit", ("encoder.", "quant_conv.")),
        ("decoder.jit", ("decoder.", "post_quant_conv.")),
    ):
        root = Nest()
        for name in [name for name in named if name.startswith(parts)]:
            owner = root
            *path, leaf = name.split(".")
            for step in path:
                if not hasattr(owner, step):
                    owner.add_module(step, Nest())
                owner = getattr(owner, step)
            owner.register_parameter(leaf, torch.nn.Parameter(named[name]))
        if file == "encoder.jit":
            root.encoder.add_module("patcher3d", Nest())
            root.encoder.patcher3d.register_buffer("wavelets", torch.ones(2))
        torch.jit.trace(root, torch.rand(1)).save(str(folder / file))
    card = import_official(checkpoints, tmp_path / "model", DESCRIPTION, ("tokenizer",), tiny_slots())[0]
    assert card.source["files"] == ["encoder.jit", "decoder.jit", "mean_std.pt"]
    network = load_network(tmp_path / "model" / "tokenizer", CosmosTokenizer)
    assert torch.equal(network.vae.quant_conv.weight, state["vae.quant_conv.weight"].bfloat16())


def nothing_written(tmp_path: Path) -> bool:
    return [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_wrong_names_and_shapes_are_listed_and_nothing_is_written(checkpoints: Path, tmp_path: Path) -> None:
    slots = tiny_slots()
    state = fake_state(slots[2], 2)
    gone = "trunk.norm.weight"
    write_fake(checkpoints, slots[2], state, **{"enc_blocks.9.x": torch.zeros(1)})
    file = checkpoints / "Lyra" / "lyra_static.pt"
    content = torch.load(file, weights_only=True)
    del content["module"]["enc_norm.weight"], content["module"]["deconv.bias"]
    torch.save(content, file)
    with pytest.raises(InputError) as caught:
        import_official(checkpoints, tmp_path / "model", DESCRIPTION, ROLES, slots)
    message = str(caught.value)
    assert "2 missing (" in message and "enc_norm.weight" in message and "deconv.bias" in message
    assert "1 surplus (enc_blocks.9.x)" in message and "is it nvidia/Lyra?" in message
    write_fake(checkpoints, slots[2], {**state, gone: torch.zeros(3)})
    with pytest.raises(InputError, match=r"1 of another shape \(enc_norm\.weight \[3\] instead of \[16\]\)"):
        import_official(checkpoints, tmp_path / "model", DESCRIPTION, ROLES, slots)
    torch.save((torch.zeros(5), torch.ones(5)), checkpoints / slots[0].folder / "mean_std.pt")
    with pytest.raises(InputError, match="5 numbers of latent_mean, expected 12"):
        import_official(checkpoints, tmp_path / "model", DESCRIPTION, ROLES, slots)
    assert nothing_written(tmp_path)


def test_a_file_in_the_wrong_place_is_recognised(checkpoints: Path, tmp_path: Path) -> None:
    slots = tiny_slots()
    teacher = checkpoints / "Gen3C-Cosmos-7B" / "model.pt"
    teacher.write_bytes((checkpoints / "Lyra" / "lyra_static.pt").read_bytes())
    with pytest.raises(InputError, match=r"holds the weights of decoder-static \(nvidia/Lyra\), not of teacher"):
        import_official(checkpoints, tmp_path / "model", DESCRIPTION, ROLES, slots)
    assert nothing_written(tmp_path)


def test_absent_and_cut_off_files(checkpoints: Path, tmp_path: Path) -> None:
    slots = tiny_slots()
    file = checkpoints / "Gen3C-Cosmos-7B" / "model.pt"
    data = file.read_bytes()
    file.write_bytes(data[:-5000])
    with pytest.raises(InputError, match=r"Gen3C-Cosmos-7B/model\.pt is cut off"):
        import_official(checkpoints, tmp_path / "model", DESCRIPTION, ROLES, slots)
    file.unlink()
    (checkpoints / slots[0].folder / "mean_std.pt").unlink()
    with pytest.raises(InputError) as caught:
        import_official(checkpoints, tmp_path / "model", DESCRIPTION, ROLES, slots)
    assert "nvidia/Gen3C-Cosmos-7B" in str(caught.value) and "nvidia/Cosmos-Tokenize1" in str(caught.value)
    with pytest.raises(InputError, match="is not a folder"):
        import_official(tmp_path / "nowhere", tmp_path / "model", DESCRIPTION, ROLES, slots)
    assert nothing_written(tmp_path)


def test_a_full_disk_and_an_existing_target_are_refused_before_writing(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lyra.hub import model_folder

    (tmp_path / "model").mkdir()
    with pytest.raises(InputError, match="model exists"):
        import_official(checkpoints, tmp_path / "model", DESCRIPTION, ROLES, tiny_slots())
    (tmp_path / "model").rmdir()
    usage = model_folder.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(model_folder.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(InputError, match=r"needs 0\.\d GB, 0\.0 GB are free"):
        import_official(checkpoints, tmp_path / "model", DESCRIPTION, ROLES, tiny_slots())
    assert nothing_written(tmp_path)


def test_an_interruption_leaves_nothing(checkpoints: Path, tmp_path: Path) -> None:
    def interrupt(role: str, share: float) -> None:
        if role == "teacher":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_official(checkpoints, tmp_path / "model", DESCRIPTION, ROLES, tiny_slots(), interrupt)
    assert nothing_written(tmp_path)


def test_a_full_disk_is_told_and_leaves_nothing(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lyra.hub import weight_shards

    def full(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        path.write_bytes(bytes(9))
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(weight_shards, "save_file", full)
    with pytest.raises(InputError, match=r"cannot write .*No space left on device.*free some space"):
        import_official(checkpoints, tmp_path / "model", DESCRIPTION, ROLES, tiny_slots())
    assert nothing_written(tmp_path)


def test_damaged_model_folders_are_refused(checkpoints: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    import_official(checkpoints, out, DESCRIPTION, ROLES, tiny_slots())
    with pytest.raises(InputError, match="holds a GaussianDecoder; a CosmosTokenizer is needed"):
        load_network(out / "decoder-static", CosmosTokenizer)
    shard = next((out / "teacher").glob("*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    load_network(out / "teacher", PublishedTeacher)
    with pytest.raises(InputError, match="wrong checksum"):
        verify(out / "teacher")
    with pytest.raises(InputError, match="wrong checksum"):
        export_official(out, tmp_path / "back", tiny_slots())
    assert not (tmp_path / "back").exists()
    shard.write_bytes(data[:-10])
    with pytest.raises(InputError, match=r"has [\d,]+ of [\d,]+ bytes; copy it again"):
        load_network(out / "teacher", PublishedTeacher)
    shard.unlink()
    with pytest.raises(InputError, match="the weight file is missing"):
        load_network(out / "teacher", PublishedTeacher)
    (out / "model.json").write_text("[]")
    with pytest.raises(InputError, match="one JSON object"):
        read_description(out)
    (out / "model.json").unlink()
    with pytest.raises(InputError, match="import-official"):
        read_description(out)


def test_full_size_decoders_and_tokenizer_pass_through(full_size_file, repository: Path, tmp_path: Path) -> None:
    """Files of the size that is published, with the published lists of names and shapes."""
    decoder = SLOTS[2]
    path = full_size_file(tmp_path / "checkpoints", decoder)
    listed = names_of(repository / "tests" / "models" / "decoder" / "official_names.json")
    stored = torch.load(path, weights_only=True, mmap=True)["module"]
    assert {name: list(tensor.shape) for name, tensor in stored.items()} == listed
    card = import_official(tmp_path / "checkpoints", tmp_path / "model", DESCRIPTION, ("decoder-static",))[0]
    assert card.parameters == 32_753_996 and card.size == pytest.approx(2 * 32_753_996, rel=1e-3)
    network = load_network(tmp_path / "model" / "decoder-static", GaussianDecoder)
    assert config_from_dict(DecoderConfig, card.config) == DecoderConfig() == network.config
    for index, (name, tensor) in enumerate(stored.items()):
        own = decoder.names(network.state_dict())[name]
        first = network.state_dict()[own].flatten()[0]
        assert first == tensor.flatten()[0] == torch.tensor(index / 64).bfloat16(), name


def test_large_networks_are_split_into_files(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lyra.hub import weight_shards

    monkeypatch.setattr(weight_shards, "SHARD_BYTES", 6000)
    import_official(checkpoints, tmp_path / "model", DESCRIPTION, ("teacher",), tiny_slots())
    card = FolderCard.read(tmp_path / "model" / "teacher")
    assert len(card.files) > 3 and card.files[0].name == f"model-00001-of-{len(card.files):05d}.safetensors"
    assert all(file.size < 6000 + 4000 for file in card.files)  # and a header each
    network = load_network(tmp_path / "model" / "teacher", PublishedTeacher)
    expected = fake_state(tiny_slots()[1], 1)
    assert all(torch.equal(network.state_dict()[name], value.bfloat16()) for name, value in expected.items())
