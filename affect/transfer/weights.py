"""Where weights come from: a file, a run's or experiment's folder, a W&B artifact, a published name."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import xxhash
from torch import Tensor

from affect.encoders.base import Encoder
from affect.errors import UserError
from affect.transfer.card import Card, read_card

FORMS = "a .safetensors file, the folder of a pretraining run or experiment, wandb:entity/project/name:alias, or a name"
READS = (".safetensors", ".pth", ".pt", ".bin")


@dataclass(frozen=True)
class Weights:
    """Weights that were found, not yet read.

    Args:
        where: as the user wrote it.
        file: None for a published name, which is fetched when it is read.
        card: None where nobody says whose recordings made them: published backbones.
        digest: of the content; of the name where it is published.
    """

    where: str
    file: Path | None
    card: Card | None
    digest: str


def find(
    text: str, key: str, stream: str, seed: int, fold: str, tested: Collection[str], normalisation: str = "subject"
) -> Weights:
    """The weights a config names, for one stream in one run.

    In an experiment's folder the run of the same fold or, failing that, of any fold that met nobody who is tested
    here; with the same normalisation and the same seed where there are such.

    Args:
        key: of the config, for messages.
        tested: `corpus/person` of everybody the run is tested on or adapts to.

    Raises:
        UserError: nothing there, or weights that saw a person they would be tested on.
    """
    wandb = text.startswith("wandb:")
    path = _artifact(text, key, stream) if wandb else _experiment(Path(text).expanduser(), key)
    if path.is_dir():
        path = _in_folder(path, key, stream, (normalisation, seed, fold), tested)
    elif not path.exists():
        a_path = path.is_absolute() or text.startswith((".", "~")) or (len(path.parts) > 1 and path.parent.is_dir())
        if path.suffix in READS or a_path:
            raise UserError(key, f"{text}: no such file or folder", FORMS, "correct the path")
        return Weights(text, None, None, f"published {text}")
    card = read_card(path)
    if card and (met := sorted(set(card.people) & set(tested))):
        shown = ", ".join(met[:3]) + (" …" if len(met) > 3 else "")
        raise UserError(
            key,
            f"{path}, trained on {shown}, tested in fold {fold}",
            "an encoder that never met the people it is tested on",
            "pretrain it on other people, or with the same protocol: name the experiment's folder instead of one run's",
        )
    return Weights(text, path, card, _digest(path, path.stat().st_size, path.stat().st_mtime_ns))


@cache
def _digest(path: Path, size: int, changed: int) -> str:
    """Of the content, made once for all runs of a process."""
    return xxhash.xxh3_128(path.read_bytes()).hexdigest()


def _experiment(path: Path, key: str) -> Path:
    """`runs/name` stands for the one experiment of that name, whose folder ends in a hash."""
    named = re.compile(re.escape(path.name) + "-[0-9a-f]{8}")
    found = [] if path.exists() else [p for p in path.parent.glob(f"{path.name}-*") if named.fullmatch(p.name)]
    found = [p for p in found if (p / "runs.json").exists()]
    if len(found) > 1:
        names = ", ".join(sorted(p.name for p in found))
        raise UserError(key, f"{len(found)} experiments of this name: {names}", "one", "name it with its hash")
    return found[0] if found else path


def read(weights: Weights, encoder: Encoder, key: str) -> Mapping[str, Tensor]:
    """Names → tensors.

    Raises:
        UserError: a file that is damaged, or would run code.
    """
    if weights.file is None:
        return encoder.published(weights.where)
    file = weights.file
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(file)
        except SafetensorError as error:
            raise UserError(file, f"no safetensors: {error}", "an undamaged file", "copy it again") from None
    return _unpickled(file)


def _unpickled(file: Path) -> Mapping[str, Tensor]:
    """A .pth of tensors and nothing else: whatever else it holds is not run."""
    import pickle

    import torch

    try:
        found = torch.load(file, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            file,
            f"a pickle that holds more than tensors, or is damaged: {reason[:200]}",
            "weights alone; nothing read from disk may run",
            "save them with safetensors.torch.save_file",
        ) from None
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not (isinstance(found, dict) and found and all(isinstance(value, Tensor) for value in found.values())):
        raise UserError(file, f"a {type(found).__name__}", "names → tensors", "save the model's state_dict()")
    return found


def _in_folder(folder: Path, key: str, stream: str, wanted: tuple[str, int, str], tested: Collection[str]) -> Path:
    """The encoder of a run's folder, or the fitting one of an experiment's.

    Args:
        wanted: normalisation, seed and fold.
    """
    normalisation, seed, fold = wanted
    runs = folder / "runs.json"
    if not runs.exists():
        return _encoder_of(folder, key, stream)
    found: list[tuple[int, bool, bool, bool, int, Path]] = []
    for label, name in json.loads(runs.read_text(encoding="utf-8")).items():
        file = _encoder_of(folder.parent / "runs" / name, key, stream)
        card = read_card(file)
        met = len(set(card.people) & set(tested)) if card else 0
        parts = label.split(" · ")
        other = (parts[0] != fold, parts[-2] != normalisation, parts[-1] != f"seed {seed}")
        found.append((met, *other, len(found), file))
    return min(found)[-1]


def _encoder_of(folder: Path, key: str, stream: str) -> Path:
    file = folder / f"{stream}.safetensors"
    if not (folder / "done").exists() or not file.exists():
        there = sorted(path.stem for path in folder.glob("*.safetensors") if path.with_suffix(".json").exists())
        state = "" if (folder / "done").exists() else ", not finished"
        raise UserError(
            key,
            f"{folder}, with encoders of {there or 'no stream'}{state}",
            f"the folder of a finished pretraining run that holds {stream}.safetensors",
            "finish it with its own command, or name a file",
        )
    return file


@cache
def _artifact(text: str, key: str, stream: str) -> Path:
    """Download a W&B artifact (kept in W&B's own cache) and find the weights in it: the stream's, or the only ones."""
    import wandb

    name = text.removeprefix("wandb:")
    try:
        folder = Path(wandb.Api().artifact(name).download())
    except Exception as error:  # of the network, the key or the name, each its own
        raise UserError(
            key,
            f"{name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            "an artifact of W&B that can be reached: wandb:entity/project/name:alias",
            "log in with `wandb login`, check the name, or download the file elsewhere and name it",
        ) from None
    files = sorted(folder.rglob(f"{stream}.safetensors")) or sorted(folder.rglob("*.safetensors"))
    if len(files) != 1:
        raise UserError(key, f"{len(files)} .safetensors files in {name}", f"{stream}.safetensors, or one", "log it so")
    return files[0]
