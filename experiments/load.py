"""YAML and command line → a checked Experiment, or one clear message about what is wrong."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from affect.errors import UserError
from experiments.config import Component, Experiment


def load(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read a config, put the overrides in, check the result against the schema.

    Args:
        path: of the YAML file.
        overrides: `--a.b.c=value`, value in YAML; arguments of a class may leave `init_args` out.

    Raises:
        UserError: naming the key, what was found and what is allowed.
    """
    tree = read(path)
    for override in overrides:
        put(tree, override)
    return check(tree, path)


def check(tree: Any, path: Path) -> Experiment:
    """A tree of plain data as an Experiment."""
    try:
        return Experiment.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        more = "" if error.error_count() == 1 else f" (and {error.error_count() - 1} more mistakes)"
        raise _explain(first, path, more) from None


def pairs(arguments: Sequence[str]) -> list[str]:
    """`--key value` as `--key=value`."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1].startswith("--") and "=" not in joined[-1] and not argument.startswith("--"):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


class _UniqueKeys(yaml.SafeLoader):
    """YAML whose second `seeds:` is a mistake, not a silent winner."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{twice} given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read(path: Path) -> Any:
    """The tree of a YAML file whose keys are unique."""
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)  # a SafeLoader
    except OSError as error:
        raise UserError(path, f"{error.strerror}", "a YAML config", "see experiments/configs/") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(path, f"not YAML: {error}", "a YAML config", "correct the file") from None
    if not isinstance(tree, dict):
        raise UserError(path, f"{type(tree).__name__}", "a mapping of keys", "see experiments/configs/")
    return tree


def put(tree: Any, override: str) -> None:
    """Put one `--a.b.c=value` into a tree of plain data."""
    flag, equals, text = override.partition("=")
    if not flag.startswith("--") or not equals:
        raise UserError(override, "an argument of another form", "--any.key=value", "see --help")
    *parents, last = keys = flag[2:].split(".")
    node = tree
    for depth, key in enumerate(parents):
        node = _arguments(_only(node, key), key)
        place = _place(node, key, flag)
        child = node[place] if isinstance(node, list) else node.get(place)
        if isinstance(child, str):
            child = {"class_path": child}  # a class given by its bare path opens up to take arguments
        child = {} if child is None else child
        if not isinstance(child, dict | list):
            found = ".".join(keys[: depth + 1])
            raise UserError(flag[2:], f"{found} is {child!r}", "a section with keys of its own", "see --help")
        node[place] = child
        node = child
    try:
        node = _arguments(_only(node, last), last)
        node[_place(node, last, flag)] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(flag[2:], f"{text!r}: {error}", "a value in YAML", "quote it") from None


def _only(node: Any, key: str) -> Any:
    """The one entry of a list of one, which needs no number: a single target as it was written down."""
    return (
        node[0]
        if isinstance(node, list) and len(node) == 1 and isinstance(node[0], dict) and not key.isdigit()
        else node
    )


def _place(node: Any, key: str, flag: str) -> Any:
    """`key` of a mapping, or the number it is in a list."""
    if not isinstance(node, list):
        return key
    if not key.isdigit() or int(key) >= len(node):
        raise UserError(flag[2:], f"{key!r} in a list", f"0 … {len(node) - 1}", "name an entry by its number")
    return int(key)


def _arguments(node: Any, key: str) -> Any:
    """Where `key` belongs: in a component's init_args unless it is one of its own two keys."""
    if not isinstance(node, dict) or "class_path" not in node or key in ("class_path", "init_args"):
        return node
    return node.setdefault("init_args", {})


def _explain(error: Any, path: Path, more: str) -> UserError:
    location = [str(part) for part in error["loc"]]
    key = ".".join(location) or str(path)
    if error["type"] == "extra_forbidden":
        section = _section(Experiment, location[:-1])
        allowed = list(section.model_fields) if section else []
        close = difflib.get_close_matches(location[-1], allowed, 1)
        remedy = f"did you mean {close[0]!r}?" if close else "remove it, or see --help"
        return UserError(key, f"no such key{more}", f"one of {', '.join(allowed)}", remedy)
    if error["type"] == "missing":
        return UserError(key, f"nothing{more}", f"a value: {_help(location)}", f"add it to {path}")
    return UserError(key, f"{error['input']!r}{more}", error["msg"], _help(location))


def _section(model: type[BaseModel], keys: list[str]) -> type[BaseModel] | None:
    """The schema class at a path of keys, through dicts and lists of sections."""
    current: Any = model
    for key in keys:
        if isinstance(current, _Through):  # `key` is a name or number of the user's
            current = _inner(current.inner)
        elif isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(key)
            if field is None:
                return None
            current = _inner(field.annotation)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _inner(annotation: Any) -> Any:
    """`Stream` of `dict[str, Stream]`, `Component` of `Component | None`: what one more key leads to."""
    origin = get_origin(annotation)
    if origin in (dict, list):
        return _Through(get_args(annotation)[-1])
    if origin is Union or str(origin) == "<class 'types.UnionType'>":
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        return _inner((sections or kinds)[0])
    return annotation


class _Through:
    """A container: the next key is a name of the user's, the one after belongs to `inner`."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner


def _help(location: list[str]) -> str:
    parent = _section(Experiment, location[:-1])
    field = parent.model_fields.get(location[-1]) if parent and location else None
    return (field.description if field else None) or "see --help"


def describe_schema() -> str:
    """Every key, its type, default and meaning, for --help."""
    lines: list[str] = []

    def walk(model: type[BaseModel], prefix: str) -> None:
        for name, field in model.model_fields.items():
            inner = _inner(field.annotation)
            holder = isinstance(inner, _Through)
            inner = _inner(inner.inner) if isinstance(inner, _Through) else inner
            key = f"{prefix}{name}"
            is_section = isinstance(inner, type) and issubclass(inner, BaseModel)
            default = "" if field.is_required() or is_section else f" [{field.default}]"
            lines.append(f"  --{key}{default}\n        {field.description or ''}".rstrip())
            if is_section and inner is not Component:
                walk(inner, f"{key}.NAME." if holder else f"{key}.")

    walk(Experiment, "")
    return "\n".join(lines)
