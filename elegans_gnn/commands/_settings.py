"""The tasks of `elegans-gnn train`, and their settings as options of the command line (through jsonargparse).

The settings, their types, ranges and help are those of :mod:`elegans_gnn.training.settings`; the options of models and
cores come from the models' classes. Here they only get dashes.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from elegans_gnn._text import read_yaml
from elegans_gnn.commands._table import one_line_error
from elegans_gnn.datasets import DATA
from elegans_gnn.errors import Range, invalid, require, unknown_name
from elegans_gnn.training.config import CONFIGS, TrainingConfig
from elegans_gnn.training.old_formats import OLD_NAMES, is_whole, settings_of, task_of
from elegans_gnn.training.settings import GROUPS, Core, Model, declared, type_of

if TYPE_CHECKING:
    from elegans_gnn.models import Option

FOLDER_DATA = "mnist5k"  # the data of the tasks that also take a folder with MNIST's files


@dataclass(frozen=True)
class Task:
    """One task of the command.

    Args:
        config: class of its configuration.
        data: the data set; of the family "mnist" another one can be chosen.
        help: one line.
    """

    config: type[TrainingConfig]
    data: str
    help: str

    @property
    def chooses_data(self) -> bool:
        """Whether other data of the same format can be chosen."""
        return self.data == FOLDER_DATA

    def fixed(self) -> tuple[str, ...]:
        """Settings that make the task what it is and are no options."""
        row = DATA[self.data]
        idle = {"fold"} if not row.folds else {"data_dir"}
        return tuple(declared(self.config.task).keys() & (idle if self.chooses_data else {"data", *idle}))

    def takes(self, settings: Mapping[str, Any]) -> bool:
        """Whether these are the settings of a run of this task."""
        data = settings.get("data")
        if task_of(settings) != self.config.task or not isinstance(data, str):
            return False
        return _own_task(data) is None if self.chooses_data else data == self.data

    def check_data(self, settings: Mapping[str, Any], where: str = "") -> None:
        """Refuse data that belong to another task.

        Raises:
            ValueError: the task that they belong to.
        """
        data = settings.get("data", self.data)
        if not isinstance(data, str):
            return  # refused by its type
        if not self.chooses_data and data != self.data:
            raise invalid(f"data{where}", repr(self.data), repr(data), "choose another task")
        if self.chooses_data and _own_task(data):
            expected = "mnist5k, mnist, fashion-mnist or a folder with MNIST's files"
            raise invalid(f"data{where}", expected, repr(data), f"use the task {data}-classifier")

    def configuration(
        self,
        preset: str | None,
        in_file: Mapping[str, Any] | None = None,
        given: Mapping[str, Any] | None = None,
        *,
        smoke: bool = False,
    ) -> TrainingConfig:
        """The settings of a preset (the demo's, if none is named), cut by `smoke`, changed by a file, then by options.

        Raises:
            ValueError: a setting that cannot be used, or data of another task.
        """
        chosen: dict[str, Any] = {"data": self.data, **(in_file or {}), **(given or {})}
        if self.config.task == "classifier":
            self.check_data(chosen)
        make = self.config.smoke_preset if smoke else self.config.preset
        return make("demo" if preset is None else preset, **chosen)


def _own_task(data: str) -> str | None:
    """The family of a data set that has a task of its own because its images differ from MNIST's."""
    return DATA[data].family if data in DATA and DATA[data].family != DATA[FOLDER_DATA].family else None


def _tasks() -> dict[str, Task]:
    autoencoder, classifier = CONFIGS["autoencoder"], CONFIGS["classifier"]
    tasks = {
        "mnist-autoencoder": Task(autoencoder, FOLDER_DATA, "redraw handwritten digits from a short code"),
        "mnist-classifier": Task(classifier, FOLDER_DATA, "classify handwritten digits of 28 x 28 pixels"),
    }
    for name, row in DATA.items():
        if name not in ("mnist5k", "mnist"):
            tasks[f"{name}-classifier"] = Task(classifier, name, f"classify {row.title}")
    return tasks


TASKS = _tasks()


_WRONG_TYPE = r"Parser key \"(\w+)\":\s+Expected a <class '(\w+)'>\. Got value: (.*)"


class SettingsParser:
    """The command line of one task.

    Args:
        name: of the task.
        program: what comes before the options, such as ``elegans-gnn train mnist-autoencoder``.
        epilog: what the help ends with.
    """

    def __init__(self, name: str, program: str, epilog: str) -> None:
        self.task = TASKS[name]
        self.settings = [name for name in declared(self.task.config.task) if name not in self.task.fixed()]
        self.options = _options_of_all_models(self.task.config.task)
        self.parser = _new_parser(program, f"{self.task.help[0].upper()}{self.task.help[1:]}.", epilog)
        self._add_run_options()
        usual = self.task.configuration(None).settings()
        names = _names_to_choose(self.task)
        for group in GROUPS:
            titled = self.parser.add_argument_group(group.__name__.lower(), (group.__doc__ or "").partition("\n")[0])
            for item in fields(group):
                if item.name in self.settings:
                    listed = f": {', '.join(names[item.name])}" if item.name in names else ""
                    about = f"{item.metadata['help']}{listed}"
                    about += _in_brackets(about, item.metadata["range"], usual[item.name])
                    _add(titled, item.name, type_of(item.name), about)
        titled = self.parser.add_argument_group(
            "options of the model and its core", "in brackets: the models and cores that take it"
        )
        for name, meanings in self.options.items():
            texts = (
                f"{_help(o)} [{', '.join(takers)}]{_in_brackets(o.help, o.range, o.default)}" for o, takers in meanings
            )
            _add(titled, name, _type_of_option(meanings[0][0]), "; ".join(texts))

    def parse(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
        """The options that say where a run goes, and the settings that were given."""
        found = dict(vars(self.parser.parse_args(list(arguments))))
        names = [name for name in (*self.settings, *self.options, *OLD_NAMES) if name in found]
        return argparse.Namespace(**{k: v for k, v in found.items() if k not in names}), {k: found[k] for k in names}

    def read(self, path: Path) -> dict[str, Any]:
        """The settings in a YAML (or JSON) file, each of its type.

        Raises:
            ValueError: no such file, no list of settings, or a setting the task does not have.
        """
        remedy = "write lines such as steps: 2000"
        plain = read_yaml(path, "--config", remedy=remedy)
        if not isinstance(plain, dict):
            raise invalid("--config", "a file with one setting a line", f"{path}: {type(plain).__name__}", remedy)
        if is_whole(plain):
            plain = settings_of(plain, self.task.config.task)
        known = (*declared(self.task.config.task), *self.options)
        for name in plain:
            if name not in (*known, *OLD_NAMES):
                raise unknown_name(f"{path}: setting", str(name), known)
        self.task.check_data(plain, f" in {path}")
        return plain

    def _add_run_options(self) -> None:
        add = self.parser.add_argument
        add("--runs", type=Path, default=Path("runs"), help="folder that holds the runs (default: runs)")
        add("--name", type=str, default=None, help="name of the run; the first free number if not given")
        add("--resume", type=Path, default=None, metavar="RUN", help="go on with an interrupted run's folder")
        add("--preset", type=str, default=None, metavar="NAME", help="smoke, demo or headline (default: demo)")
        add("--config", type=Path, default=None, metavar="FILE", help="a YAML file with settings, such as steps: 2000")
        add("--smoke", action="store_true", help="the preset cut to a few small steps, to see that all works")
        add("--no-progress", action="store_true", help="no progress bar")
        add("--keep", type=_number, default=argparse.SUPPRESS, help=argparse.SUPPRESS)  # former name of --leak


def _names_to_choose(task: Task) -> dict[str, tuple[str, ...]]:
    """The names that the settings with a table behind them take."""
    from elegans_gnn.graphs import list_random_models
    from elegans_gnn.models import CORES, MODELS

    data = tuple(name for name, row in DATA.items() if row.family == DATA[task.data].family)
    models = tuple(MODELS[task.config.task])
    return {"data": data, "graph": ("original", *list_random_models()), "model": models, "core": tuple(CORES)}


def _new_parser(program: str, description: str, epilog: str) -> Any:
    base: Any = require("jsonargparse").ArgumentParser

    class Parser(base):
        """One line for a mistake, with the nearest option."""

        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            typed = re.match(_WRONG_TYPE, message, re.DOTALL)
            if typed:
                message = f"--{typed[1].replace('_', '-')} must be of type {typed[2]}, got {typed[3].strip()}"
            one_line_error(self, " ".join(message.split()))

    return Parser(
        prog=program,
        usage=f"{program} [--OPTION VALUE ...]",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add(parser: Any, name: str, kind: Any, text: str) -> None:
    option = f"--{name.replace('_', '-')}"
    text = text.replace("%", "%%")
    if kind is float:
        kind = _number  # nan and inf are refused by the range, with the rest
    if kind is bool:
        parser.add_argument(option, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text)
    else:
        parser.add_argument(option, type=kind, metavar=name.upper(), default=argparse.SUPPRESS, help=text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _options_of_all_models(task: str) -> dict[str, list[tuple[Option, list[str]]]]:
    """Every option that a model of the task or one of its cores takes: each of its meanings, with what takes it."""
    from elegans_gnn.models import CORES, MODELS, core_options
    from elegans_gnn.training.model_options import class_of, known_options

    choices = [Model(model=name) for name in MODELS[task]]
    choices += [Model(backbone="backbone")] if task == "classifier" else []
    found: dict[str, list[tuple[Option, list[str]]]] = {}
    for choice in choices:
        for core in CORES if "core" in class_of(task, choice).options() else ("",):
            of_core = core_options(core) if core else ()
            for name, option in known_options(task, choice, Core(core) if core else Core()).items():
                taker = core if option.name in of_core else choice.backbone or choice.model
                meanings = found.setdefault(name, [])
                shown = (option.help, option.default, option.range)
                same = [takers for o, takers in meanings if (o.help, o.default, o.range) == shown]
                if not same:
                    meanings.append((option, [taker]))
                elif taker not in same[0]:
                    same[0].append(taker)
    return found


def _type_of_option(option: Option) -> Any:
    if option.many:
        return str  # A,B means several; the configuration takes it apart
    if option.optional and option.type is not str:

        def value(text: str) -> Any:
            return None if text == "none" else option.type(text)

        return value
    return option.type


def _help(option: Option) -> str:
    """The help of an option, with the names it takes if the text does not have them."""
    missing = any(f'"{name}"' not in option.help for name in option.choices)
    return f"{option.help}; one of {', '.join(option.choices)}" if missing else option.help


def _in_brackets(text: str, range: Range | None, default: Any) -> str:
    """What a help text does not say: the range and the default, in brackets."""
    limits = "" if range is None or str(range) in text else str(range)
    usual = "" if default is None and "by default" in text.lower() else f"default: {_shown(default)}"
    said = "; ".join(filter(None, (limits, usual)))
    return f" ({said})" if said else ""


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value) or "none"
