"""`streams.yaml` of a folder of one's own: what its files and its table do not say themselves."""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, ValidationError

from affect.errors import UserError

STREAMS = "streams.yaml"


class Facts(BaseModel):
    """What `streams.yaml` says about a stream.

    Args:
        rate: samples a second, Hz; needed for arrays and tables, compared with what other files say.
        channels: names, in the order wanted; of an array, those of its rows.
        unit: physical unit; voltages in EDF, BDF and FIF are converted to it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    channels: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    unit: str | None = None


class About(BaseModel):
    """The whole file.

    Args:
        streams: name → facts.
        ratings: name → lowest and highest of its scale, or the names of its classes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    streams: dict[str, Facts] = {}
    ratings: dict[str, Annotated[list[StrictStr | StrictInt | StrictFloat], Field(min_length=2)]] = {}


def read_about(path: Path) -> About:
    """The file, or no facts where there is none.

    Raises:
        UserError: no YAML, or keys and values that are none of these.
    """
    help_ = "correct the file; docs/own_data.md shows one"
    if not path.is_file():
        return About()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        return About.model_validate({} if content is None else content)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{path}, {'.'.join(str(part) for part in first['loc'])}"
        expected = first["msg"] + ("; names such as no, on or 1 in quotes" if "string" in first["type"] else "")
        if first["type"] == "extra_forbidden":
            expected = "streams: {NAME: {rate, channels, unit}} and ratings: {NAME: [lowest, highest]}"
        raise UserError(where, repr(first["input"])[:200], expected, help_) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(path, f"no YAML that can be read ({error})", "streams: and ratings:", help_) from None
