"""What is known of saved encoder weights: whose recordings made them."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from affect.errors import UserError


@dataclass(frozen=True)
class Card:
    """Lies beside the weights, in a file of the same name that ends in .json.

    Args:
        stream: of the encoder.
        encoder: class path and arguments.
        shape: channels, length, rate and size of the stream.
        people: `corpus/person` of everybody whose recordings, labelled or not, shaped the weights.
        preprocessing: the corpora and how the stream was made of them.
        normalisation: of the stream.
        objective: what was minimised.
        metric: how well, on whom.
        config: hash of all that determined the weights.
    """

    stream: str
    encoder: dict[str, Any]
    shape: dict[str, Any]
    people: list[str]
    preprocessing: dict[str, Any]
    normalisation: str
    objective: str
    metric: dict[str, Any]
    config: str

    def text(self) -> str:
        """As it is written."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)


def beside(weights: Path) -> Path:
    """Where the card of a weights file lies."""
    return weights.with_suffix(".json")


def read_card(weights: Path) -> Card | None:
    """The card of a weights file; None where there is none.

    Raises:
        UserError: a card that does not say whose recordings made the weights.
    """
    path = beside(weights)
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        people = found["people"]
        if not (isinstance(people, list) and people and all(isinstance(p, str) for p in people)):
            raise KeyError("people")
        if not ({"channels", "rate"} <= set(found["shape"]) and "class_path" in found["encoder"]):
            raise KeyError("shape, encoder")
        return Card(**{field.name: found[field.name] for field in fields(Card)})
    except (ValueError, KeyError, TypeError) as error:
        lacks = "no people" if error.args == ("people",) else f"not a card ({error})"
        raise UserError(
            path,
            lacks,
            "the card of an encoder, with the people (corpus/person) whose recordings shaped it",
            "pretrain the encoder again, or take one that says whom it saw",
        ) from None
