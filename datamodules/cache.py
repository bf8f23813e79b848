"""The cache: corpora prepared once, each stream of each recipe one memory map, people in parallel.

Layout: `cache/<corpus>/trials-<key>/`, `cache/<corpus>/<stream>-<key>/` and, in it, `features-<key>/`; each is a Store.
A key holds the sources of the code, the recipe and, for a person's entry, the content of the files it was read from:
changing one person's file prepares that person again, and another experiment finds what the first has left.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from affect.errors import UserError
from affect.preprocessing.step import Features, Step, VideoStep, describe
from datamodules.assemble import BadTrials, Cache, Part, assemble
from datamodules.atomic import disk_space
from datamodules.corpora.base import Corpus
from datamodules.fingerprint import Fingerprints, code, digest, foreign, versions
from datamodules.formats.media import FILM, SOUND, STILL
from datamodules.preparation import Recipe, Task, Wanted
from datamodules.store import Store, Stores, StreamStore
from datamodules.windowing import Windowing
from datamodules.workers import work

__all__ = ["BadTrials", "Cache", "Progress", "Recipe", "Survey", "Windowing", "prepare", "survey"]

Progress = Callable[[str, int, int], None]
_READ = (
    *("affect/batch.py", "datamodules/corpora", "datamodules/formats"),
    *("datamodules/quality.py", "datamodules/preparation.py", "datamodules/windowing.py"),
)
_MADE = (*_READ, "affect/preprocessing")
"""Sources that make the trials, and the streams, what they are."""


def prepare(
    corpora: Sequence[Corpus],
    recipes: Mapping[str, Recipe],
    window: Windowing,
    root: Path,
    bad_trials: BadTrials = "error",
    scale: tuple[float, float] | None = None,
    workers: int = 0,
    progress: Progress = lambda what, done, total: None,
) -> Cache:
    """Read corpora through their recipes into the cache under `root`, or open what is already there.

    Args:
        recipes: name of a stream in the experiment → how it is made.
        window: how trials are cut; features are computed window by window.
        bad_trials: what to do with trials that cannot be used: stop, leave them out, or take the bad stream for absent.
        scale: numeric ratings are mapped linearly from their own scale to this one; None leaves them.
        workers: processes; 0 is one for each core, where there is enough to do.
        progress: called with (what, done, total).

    Raises:
        UserError: bad input, or a full disk; finished people are kept.
    """
    parts = []
    for corpus in corpora:
        found = survey(corpus, recipes, window, root, progress)
        with _locked(root / corpus.name):
            spoilt = _complete(found, corpus, recipes, window, bad_trials, workers, progress)
        parts.append(Part(corpus, found.people, found.content, found.stores, spoilt))
    return assemble(parts, recipes, window, bad_trials, scale)


@dataclass(frozen=True)
class Survey:
    """What is to be read of a corpus.

    Args:
        people: to prepare, in order.
        content: person → stream of the experiment ("" for the trials table) → hash of the files it is made from, those
            of the trials table always among them: streams and trials go together by their order.
        files: all of them.
        stores: where everything lies or will lie.
    """

    people: list[str]
    content: Mapping[str, Mapping[str, str]]
    files: list[Path]
    stores: Stores

    def missing(self, corpus: Corpus, recipes: Mapping[str, Recipe], window: Windowing) -> dict[str, Task]:
        """Person → what is not there yet."""
        tasks = {p: _task(corpus, p, self.content[p], self.stores, recipes, window) for p in self.people}
        return {person: task for person, task in tasks.items() if task is not None}


def survey(
    corpus: Corpus,
    recipes: Mapping[str, Recipe],
    window: Windowing,
    root: Path,
    progress: Progress = lambda what, done, total: None,
) -> Survey:
    """Look at a corpus's files, which are read once to be known by their content."""
    corpus.ensure()
    people = corpus.subjects()
    prints = Fingerprints(root / "fingerprints.json")
    files = {p: {"": [], **{n: _files(corpus, p, r) for n, r in recipes.items()}} for p in people}
    listed = {p: _split(corpus.files(p)) for p in people}

    def known(person: str) -> dict[str, str]:  # one after the other: streams share files, which are read once
        read, there = listed[person]
        return {name: prints.of([*read, *paths], there) for name, paths in files[person].items()}

    content: dict[str, dict[str, str]] = {}
    with ThreadPoolExecutor(4) as pool:  # hashing leaves the interpreter free
        for i, (person, hashes) in enumerate(zip(people, pool.map(known, people), strict=True)):
            progress("checking files", i, len(people))
            content[person] = hashes
    with suppress(OSError), disk_space(root):  # a memo that cannot be kept costs time only
        prints.save()
    read = [path for p in people for paths in (listed[p][0], *files[p].values()) for path in paths]
    return Survey(people, content, list(dict.fromkeys(read)), _stores(corpus, recipes, window, root))


def _files(corpus: Corpus, person: str, recipe: Recipe) -> list[Path]:
    """All that a stream of the experiment is made from."""
    beside = [name for step in recipe.steps if isinstance(step, Step) for name in step.beside if name in corpus.streams]
    return list(dict.fromkeys(path for name in (recipe.of, *beside) for path in corpus.files_of(person, name)))


def _split(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """(read for the trials table, only there): what a film or a sound holds makes no trial, that it is there may."""
    media = {*SOUND, *FILM, *STILL}
    return [p for p in files if p.suffix.lower() not in media], [p for p in files if p.suffix.lower() in media]


def _stores(corpus: Corpus, recipes: Mapping[str, Recipe], window: Windowing, root: Path) -> Stores:
    home = root / corpus.name
    reader = [corpus.settings(), foreign(type(corpus).__module__)]
    stores = Stores(Store(home / f"trials-{digest([code(*_READ), reader])}"))
    for name, recipe in recipes.items():
        raw = home / f"{recipe.of}-{digest([code(*_MADE), versions(), reader, [_named(s) for s in recipe.steps]])}"
        made = None
        if recipe.features:
            made = Store(raw / f"features-{digest([_named(recipe.features), vars(window)])}")
        stores.streams[name] = StreamStore(Store(raw), made)
    return stores


def _named(part: Step | VideoStep | Features) -> list[Any]:
    """What a part is, and the source of one from outside the project."""
    return [describe(part), foreign(type(part).__module__)]


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / ".lock")
        lock.acquire()
    except OSError as error:
        raise UserError(
            home,
            f"cannot be written to ({error.strerror})",
            "a folder for prepared data",
            "set --data.cache to another",
        ) from None
    try:
        yield
    finally:
        lock.release()


def _complete(
    found: Survey,
    corpus: Corpus,
    recipes: Mapping[str, Recipe],
    window: Windowing,
    bad_trials: BadTrials,
    workers: int,
    progress: Progress,
) -> dict[str, UserError]:
    """Prepare whoever is not there yet; commits are made in the order of people, whoever is ready first.

    Returns:
        People who cannot be read, if that may be; nothing is kept of them, so that they are tried again.
    """
    stores, tasks = found.stores, found.missing(corpus, recipes, window)
    done = len(found.people) - len(tasks)
    by_name = {store.name: store for store in stores.all()}
    spoilt = {}
    for person, facts in work(list(tasks.values()), by_name, workers):
        progress("preparing", done, len(found.people))
        done += 1
        if isinstance(facts, UserError):
            if bad_trials == "error":
                raise facts
            spoilt[person] = facts
            continue
        for w in tasks[person].wanted:
            for name in w.stores():
                made = facts[name]
                by_name[name].commit(person, w.content, made["size"], made)
                if bad_trials == "error" and made["trials"] and all("problem" in t for t in made["trials"]):
                    raise UserError(*made["trials"][0]["problem"])  # the others would fare no better
        if tasks[person].rows is None:
            stores.trials.commit(person, found.content[person][""], 0, facts[stores.trials.name])
    return spoilt


def _task(
    corpus: Corpus,
    person: str,
    content: Mapping[str, str],
    stores: Stores,
    recipes: Mapping[str, Recipe],
    window: Windowing,
) -> Task | None:
    """What of a person is not there yet; None if all is."""
    known = stores.trials.entry(person, content[""])
    wanted: dict[str, Wanted] = {}
    for name, recipe in recipes.items():
        stream = stores.streams[name]
        entry = stream.raw.entry(person, content[name])
        missing = {}
        if stream.features and recipe.features and stream.features.entry(person, content[name]) is None:
            missing = {stream.features.name: recipe.features}
        if entry is not None and not missing:
            continue
        before = wanted.get(stream.raw.name)
        wanted[stream.raw.name] = Wanted(
            recipe.of,
            recipe.steps,
            content[name],
            stream.raw.name if entry is None else None,
            {**(before.features if before else {}), **missing},
            None if entry is None else (stream.raw.data, entry),
        )
    if known is not None and not wanted:
        return None
    return Task(
        corpus, person, list(wanted.values()), None if known is None else known["trials"], window, stores.trials.name
    )
