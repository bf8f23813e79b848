"""Class paths of a config → classes, their arguments checked against their signatures, and instances."""

import difflib
import importlib
import inspect
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model

from affect.errors import UserError
from experiments.config import Component

T = TypeVar("T")
Bases = type[T] | tuple[type[T], ...]


def find(component: Component, base: Bases[T], key: str) -> type[T]:
    """The class at `component.class_path`, which must be a `base`, or one of them.

    Args:
        key: dotted key of the component, for messages.
    """
    module_name, _, name = component.class_path.rpartition(".")
    bases = base if isinstance(base, tuple) else (base,)
    home = bases[0].__module__.removesuffix(".base").removesuffix(".step")
    remedy = f"see the classes in {home}"
    kind = f"{'an' if bases[0].__name__[0] in 'AEIOU' else 'a'} {bases[0].__name__}"
    try:
        module = importlib.import_module(module_name) if module_name else None
    except (ImportError, TypeError, ValueError) as error:
        wanted = f"{key}.class_path"
        raise UserError(wanted, f"{component.class_path!r}: {error}", f"the path of {kind}", remedy) from None
    found = getattr(module, name, None)
    if not (
        inspect.isclass(found) and issubclass(found, bases) and found not in bases and not inspect.isabstract(found)
    ):
        package = vars(module) if module else {}
        classes = [n for n, c in package.items() if inspect.isclass(c) and issubclass(c, bases) and c not in bases]
        close = [c for c in classes if c.lower() == name.lower()] or difflib.get_close_matches(name, classes, 1)
        raise UserError(
            f"{key}.class_path",
            repr(component.class_path),
            kind + (f", in {module_name}: {', '.join(sorted(classes))}" if classes else ""),
            f"did you mean {module_name}.{close[0]}?" if close else remedy,
        )
    return found


def arguments(component: Component, base: Bases[Any], key: str, given: tuple[str, ...] = ()) -> dict[str, Any]:
    """The component's arguments, checked, converted and completed with their defaults.

    Args:
        given: arguments the program supplies; the config must not.
    """
    found = find(component, base, key)
    hints = get_type_hints(found.__init__, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(found).parameters.items():
        if name not in given:
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            if type(default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS":  # a dataclass field with a factory
                default = found.__dataclass_fields__[name].default_factory()
            fields[name] = (hints.get(name, Any), default)
    # Defaults are converted as what is given: a config that was written down is the same experiment.
    schema = create_model("Arguments", __config__=ConfigDict(extra="forbid", validate_default=True), **fields)
    try:
        checked: dict[str, Any] = schema.model_validate(component.init_args).model_dump()
        return checked
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([key, *map(str, first["loc"])])
        allowed = f"one of {', '.join(fields)}" if fields else f"no arguments: {found.__name__} takes none"
        if first["type"] == "extra_forbidden":
            close = difflib.get_close_matches(str(first["loc"][-1]), list(fields), 1)
            remedy = f"did you mean {close[0]!r}?" if close else f"see {component.class_path}"
            raise UserError(where, f"no such argument of {found.__name__}", allowed, remedy) from None
        if first["type"] == "missing":
            raise UserError(where, "nothing", f"a value for {found.__name__}", "add it to the config") from None
        raise UserError(where, repr(first["input"]), first["msg"], f"see {component.class_path}") from None


def build(component: Component, base: Bases[T], key: str, given: Mapping[str, Any] | None = None) -> T:
    """An instance of the component."""
    given = given or {}
    try:
        return find(component, base, key)(**given, **arguments(component, base, key, tuple(given)))
    except (ValueError, RuntimeError) as error:
        raise UserError(key, f"{component.init_args}", str(error), f"see {component.class_path}") from None
