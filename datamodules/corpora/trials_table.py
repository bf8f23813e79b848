"""`trials.csv` and `streams.yaml` of a folder of one's own: read whole and checked whole before any recording is."""

import csv
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd

from affect.errors import UserError
from datamodules.corpora.recording import ARRAY, SUFFIXES, Span
from datamodules.corpora.streams_yaml import STREAMS, About, Facts, read_about
from datamodules.formats.media import FILM, SOUND, STILL
from datamodules.formats.tables import read_table

TRIALS = "trials.csv"
PLAIN = ("subject", "session", "trial", "stimulus", "onset", "start", "stop", "note")
PREFIXED = ("file", "start", "stop", "rating", "group", "note")
COLUMNS = "subject, trial or stimulus, file.NAME, rating.NAME; if wanted session, onset, start, stop, group.NAME, note"
_HELP = f"correct {TRIALS}, saved as CSV in UTF-8; docs/own_data.md shows one"

Scale = tuple[float, float] | tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One trial; `number` is that of its row in the file, the header's being 1."""

    number: int
    subject: str
    session: str
    stimulus: str
    onset: float
    ratings: Mapping[str, float | str]
    group: Mapping[str, float | str]
    files: Mapping[str, Span]


@dataclass(frozen=True)
class Trials:
    """All that the two files say; the paths of the rows lie under the folder."""

    rows: tuple[Row, ...]
    streams: tuple[str, ...]
    ratings: Mapping[str, Scale]
    facts: Mapping[str, Facts]


def read_trials(root: Path) -> Trials:
    """Both files of the folder `root`.

    Raises:
        UserError: anything that is wrong in them; whether the files they name are there is not looked at.
    """
    path, about = root / TRIALS, read_about(root / STREAMS)
    try:
        table = read_table(path, ("subject",), f"columns {COLUMNS}")
    except UserError as error:
        raise UserError(error.where, error.found, error.expected, _HELP) from None
    lines = _lines(table, path)
    table = table.loc[:, ~(table.columns.str.startswith("unnamed:") & table.isna().all())]  # a separator at the end
    names = _columns(table, path)
    for column in (c for c in table.columns if c.partition(".")[0] in ("onset", "start", "stop")):
        table[column] = _numbers(table[column], lines, path)
    scales, ratings = _ratings(table, names["rating"], about, lines, path)
    groups = {name: _facts_of_people(table[f"group.{name}"]) for name in names["group"]}
    for given, used, what in ((about.streams, names["file"], "file"), (about.ratings, names["rating"], "rating")):
        if idle := sorted({name.lower() for name in given} - set(used)):
            raise UserError(root / STREAMS, f"{idle}", f"names with a column {what}.NAME in {TRIALS}", "correct either")
    rows = []
    for at, cells in enumerate(table.to_dict("records")):
        where = f"{path}, row {lines[at]}"
        stimulus = _text(cells, "stimulus") or _text(cells, "trial")
        onset = 0.0 if pd.isna(cells.get("onset")) else float(cells["onset"])
        files = {s: span for s in names["file"] if (span := _span(cells, s, root, where)) is not None}
        if not stimulus or onset < 0 or not files:
            found = f"onset {onset:g}" if onset < 0 else "no stimulus and no trial" if not stimulus else "no file"
            raise UserError(where, found, "stimulus or trial, one file or more, onset of 0 s or more", _HELP)
        rows.append(
            Row(
                number=lines[at],
                subject=str(cells["subject"]),
                session=_text(cells, "session") or "1",
                stimulus=stimulus,
                onset=onset,
                ratings={name: values[at] for name, values in ratings.items()},
                group={name: values[at] for name, values in groups.items()},
                files=files,
            )
        )
    trials = [None if "trial" not in table else _text(cells, "trial") for cells in table.to_dict("records")]
    _refuse_doubles(rows, trials, path)
    facts = {name.lower(): of for name, of in about.streams.items()}
    _refuse_idle_facts(rows, facts, root / STREAMS)
    return Trials(tuple(rows), tuple(names["file"]), scales, facts)


def _columns(table: pd.DataFrame, path: Path) -> dict[str, list[str]]:
    """Prefix → names after it; every column is one that is known."""
    names: dict[str, list[str]] = {prefix: [] for prefix in PREFIXED}
    if twice := sorted(set(table.columns[table.columns.duplicated()])):
        raise UserError(path, f"columns {twice} more than once", "each once", _HELP)
    for column in table.columns:
        prefix, dot, name = column.partition(".")
        known = prefix in PREFIXED and re.fullmatch(r"\w[\w -]*", name) if dot else column in PLAIN
        if not known or (prefix == "file" and not re.fullmatch(r"[a-z][a-z0-9_]*", name)):
            raise UserError(path, f"a column {column!r}", COLUMNS, f"rename it, or note.{column} to have it ignored")
        if dot:
            names[prefix].append(name)
    if idle := sorted({*names["start"], *names["stop"]} - set(names["file"])):
        raise UserError(path, f"start or stop of {idle}", f"a column file.NAME for each: {names['file']}", _HELP)
    lacking = [] if names["file"] else ["file.NAME, for example file.eeg"]
    lacking += [] if {"trial", "stimulus"} & set(table.columns) else ["trial or stimulus"]
    if lacking or table.empty:
        raise UserError(path, f"no column {lacking}" if lacking else "no rows", f"columns {COLUMNS}", _HELP)
    return names


def _lines(table: pd.DataFrame, path: Path) -> list[int]:
    """Number in the file of each row of the table: those that pandas would drop or shift are refused."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.readline()
        file.seek(0)
        cells = list(csv.reader(file, delimiter=max(",;\t", key=head.count), skipinitialspace=True))
    filled = [(number, row) for number, row in enumerate(cells, start=1) if any(cell.strip() for cell in row)]
    (_, header), *rows = filled
    at = [name.strip().lower() for name in header].index("subject")
    for number, row in rows:
        if len(row) > len(header):
            found = f"{len(row)} cells under a header of {len(header)}"
            raise UserError(f"{path}, row {number}", found, "as many as in the header", f"quote the commas, or {_HELP}")
        if len(row) <= at or not row[at].strip():
            raise UserError(f"{path}, row {number}", "no subject", "who it was, in every row", _HELP)
    if len(rows) != len(table):
        raise UserError(path, f"{len(table)} of {len(rows)} rows as a table", "one trial a row", _HELP)
    return [number for number, _ in rows]


def _ratings(
    table: pd.DataFrame, names: Sequence[str], about: About, lines: Sequence[int], path: Path
) -> tuple[dict[str, Scale], dict[str, list[float | str]]]:
    """Scale of each rating, and its values in the order of the rows."""
    scales: dict[str, Scale] = {}
    values: dict[str, list[float | str]] = {}
    declared = {name.lower(): scale for name, scale in about.ratings.items()}
    for name in names:
        column, scale, where = f"rating.{name}", declared.get(name), f"{path.with_name(STREAMS)}, ratings.{name}"
        text = _given(table[column])
        given = text.dropna()
        numeric = pd.to_numeric(given.str.replace(",", ".", regex=False), errors="coerce")
        if scale is None and numeric.isna().any() and numeric.notna().any():
            odd = given[numeric.isna()].unique()[:5]
            raise UserError(f"{path}, {column}", f"numbers, and {list(odd)}", "numbers, or names of classes", _HELP)
        if isinstance((scale or [0.0 if numeric.notna().all() else ""])[0], str):
            classes = tuple(map(str, scale or sorted(given.unique())))
            _refuse_spellings(classes, f"{path}, {column}")
            scales[name] = classes
            values[name] = [float("nan") if pd.isna(value) else str(value) for value in text]
            continue
        if scale is None:
            seen = f"{numeric.min():g} to {numeric.max():g}" if len(numeric) else "no numbers"
            remedy = f"add to {STREAMS}:  ratings: {{{name}: [lowest, highest]}}  (here: {seen})"
            raise UserError(where, "nothing", "the ends of the scale people answered on", remedy)
        if len(scale) != 2 or isinstance(scale[1], str) or not float(scale[0]) < float(scale[1]):
            raise UserError(where, f"{scale}", "[lowest, highest], or names of classes in quotes", "correct it")
        scales[name] = (float(scale[0]), float(scale[1]))
        values[name] = list(_numbers(text, lines, path))
    return scales, values


def _refuse_spellings(names: Sequence[str], where: str) -> None:
    """Happy and happy, S1 and s01: one class, one person, that would be counted as two."""
    seen: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"0+(?=\d)", "", " ".join(unicodedata.normalize("NFKC", name).casefold().split()))
        if seen.setdefault(plain, name) != name:
            raise UserError(where, f"{seen[plain]!r} and {name!r}", "one spelling of each name", _HELP)


def _facts_of_people(text: "pd.Series[str]") -> list[float | str]:
    """Numbers if all that are given are, NaN where none is; else text, `unknown` where none is."""
    given = _given(text)
    numeric = pd.to_numeric(given.str.replace(",", ".", regex=False), errors="coerce")
    return list(numeric.astype(float) if numeric.notna().sum() == given.notna().sum() else given.fillna("unknown"))


def _given(text: "pd.Series[str]") -> "pd.Series[str]":
    """NaN where the cell says that there is nothing."""
    return text.where(~text.str.lower().isin(("", "nan", "na")))


def _numbers(text: "pd.Series[str]", lines: Sequence[int], path: Path) -> "pd.Series[float]":
    """NaN where nothing is given; a decimal comma is read as one."""
    given = _given(text)
    values = pd.to_numeric(given.str.replace(",", ".", regex=False), errors="coerce").astype(float)
    if (bad := values.isna() & given.notna()).any():
        at = int(bad.to_numpy().argmax())
        raise UserError(f"{path}, row {lines[at]}", f"{text.name} {given.iloc[at]!r}", "a number", _HELP)
    return values


def _text(cells: Mapping[object, object], key: str) -> str:
    value = cells.get(key)
    return "" if value is None or pd.isna(value) else str(value)  # type: ignore[call-overload]


def _span(cells: Mapping[object, object], stream: str, root: Path, where: str) -> Span | None:
    """The part of the file a stream of a row is read from."""
    if not (name := _text(cells, f"file.{stream}")):
        return None
    start, stop = (
        next((float(text) for key in (f"{end}.{stream}", end) if (text := _text(cells, key))), empty)
        for end, empty in (("start", 0.0), ("stop", float("inf")))
    )
    if not 0 <= start < stop:
        raise UserError(where, f"{stream} from {start:g} to {stop:g} s", "0 ≤ start < stop", _HELP)
    windows = PureWindowsPath(name)
    parts = os.path.normpath(windows.as_posix()).split("/")
    if windows.drive or windows.root or parts[0] == ".." or PurePosixPath(name).is_absolute():
        remedy = "put the recordings, or a symbolic link to their folder, beside trials.csv"
        raise UserError(where, f"file.{stream} {name!r}", f"a path inside {root}, relative to it", remedy)
    if PurePosixPath(name).suffix.lower() not in SUFFIXES:
        remedy = "convert it, for example with mne.io.read_raw(…).export('….edf')"
        raise UserError(where, f"file.{stream} {name!r}", f"one of {' '.join(SUFFIXES)}", remedy)
    return Span(_located(root, name), start, stop)


def _located(root: Path, name: str) -> Path:
    """The file under `root`; macOS writes é as two characters, Windows / as \\."""
    for spelled in (name, name.replace("\\", "/")):
        for form in (None, "NFC", "NFD"):
            path = root / (spelled if form is None else unicodedata.normalize(form, spelled))
            if path.is_file():
                return path
    return root / name.replace("\\", "/")


def _refuse_doubles(rows: Sequence[Row], trials: Sequence[str | None], path: Path) -> None:
    """One recording as two trials, one trial in two rows, one person under two names."""
    _refuse_spellings(list(dict.fromkeys(row.subject for row in rows)), f"{path}, subject")
    seen: dict[object, int] = {}
    for row, trial in zip(rows, trials, strict=True):
        keys: list[tuple[object, ...]] = [(stream, *span) for stream, span in row.files.items()]
        keys += [(row.subject, row.session, trial)] if trial else []
        for key in keys:
            if (first := seen.setdefault(key, row.number)) != row.number:
                what = " ".join(map(str, key[:2])) if len(key) == 4 else f"trial {trial} of {row.subject}"
                found, expected = f"{what}, as in row {first}", "each trial and each recording once"
                raise UserError(
                    f"{path}, row {row.number}", found, expected, f"{_HELP}; parts of one file: start, stop"
                )


def _refuse_idle_facts(rows: Sequence[Row], facts: Mapping[str, Facts], path: Path) -> None:
    """Arrays need a rate; sound, films and pictures say all of it themselves."""
    for row in rows:
        for stream, span in row.files.items():
            of, suffix = facts.get(stream, Facts()), span.path.suffix.lower()
            where = f"{path}, streams.{stream}"
            if suffix in ARRAY and of.rate is None:
                remedy = f"add to {STREAMS}:  streams: {{{stream}: {{rate: 256, channels: [Fp1, Fp2], unit: µV}}}}"
                raise UserError(where, "no rate", f"samples a second, Hz, for {span.path.name}", remedy)
            if suffix in (*SOUND, *FILM, *STILL) and (of.channels or of.unit or (of.rate and suffix not in SOUND)):
                raise UserError(where, f"facts about {span.path.name}", "none: the file says them", "take them out")
