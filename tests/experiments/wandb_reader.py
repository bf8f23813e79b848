"""What W&B wrote offline, read back: its transaction log (LevelDB's log format) of its own protocol buffers."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK, HEADER = 32768, 7  # bytes; of a record: checksum (4), length (2), kind (1)
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass
class Tracked:
    """A W&B run as a server would receive it.

    Args:
        config: key → value.
        history: what was logged, a dict for each step.
        summary: the last values, as the client computes them.
        metrics: name or glob → its definition.
        artifacts: type → names.
        files: local paths of artifacts' files.
    """

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, list[str]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    exit_code: int | None = None


def read(folder: Path) -> Tracked:
    """Of the folder of an offline run."""
    (path,) = folder.glob("run-*.wandb")
    found = Tracked()
    for data in _records(path.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.run = record.run
            found.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "config":
            items = record.config.update
            found.config |= {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}
        elif kind == "history":
            items = record.history.item
            found.history.append({"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items})
        elif kind == "summary":
            items = record.summary.update
            found.summary |= {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}
        elif kind == "metric":
            found.metrics[record.metric.name or record.metric.glob_name] = record.metric
        elif kind == "artifact":
            found.artifacts.setdefault(record.artifact.type, []).append(record.artifact.name)
            found.files += [entry.local_path for entry in record.artifact.manifest.contents]
        elif kind == "exit":
            found.exit_code = record.exit.exit_code
    return found


def table(folder: Path, value: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a table that was logged."""
    content = json.loads((folder / "files" / value["path"]).read_text(encoding="utf-8"))
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def _records(data: bytes) -> Iterator[bytes]:
    assert data[:4] == b":W&B"
    at, parts = HEADER, b""
    while at + HEADER <= len(data):
        left = BLOCK - at % BLOCK
        if left < HEADER:  # the rest of a block is padding
            at += left
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + HEADER])
        parts += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (FULL, LAST):
            yield parts
            parts = b""
