"""Finds what a rendered project could do without: dependencies, settings, fixtures, files, names.

Each search returns one line for each thing that it found, or nothing. The tables below hold what
the searches cannot see, with the reason why it is needed all the same.
"""

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from support import programs
from support.projects import Project
from support.rendering import files_in, texts_in

DEPTRY = "deptry==0.25.1"
VULTURE = "vulture==2.16"

Function = ast.FunctionDef | ast.AsyncFunctionDef

EVIDENCE: dict[str, tuple[str, str, str]] = {
    "fastapi-cli": ("README.md", "uv run fastapi", "FastAPI's command needs it"),
    "pytest-asyncio": ("pyproject.toml", "asyncio_mode =", "this option is its own"),
    "pytest-xdist": ("README.md", "`-n ", "this option is its own"),
    "sqlalchemy[asyncio]": ("app/*.py", "sqlalchemy.ext.asyncio", "needs greenlet"),
    "uvicorn": ("README.md", "uv run fastapi", "the server that the command starts"),
    "uvicorn[standard]": ("README.md", "fastapi dev", "reloads with the extra's watchfiles"),
}
"""A requirement that no import shows: a file, the text in it that needs the package, and why."""

READ_BY_NAME = {
    "*.md": "people",
    "*/py.typed": "type checkers (PEP 561)",
    ".copier-answers.yml": "Copier",
    ".github/workflows/*.yml": "GitHub",
    ".gitignore": "git",
    ".pre-commit-config.yaml": "pre-commit",
    "migrations/script.py.mako": "Alembic",
    "pyproject.toml": "uv",
}
"""Files that nothing in the project has to name, and what looks for them."""

USED_FROM_OUTSIDE: dict[tuple[str, str], str] = {
    ("*.py", "@event.listens_for(*"): "SQLAlchemy calls it",
    ("*.py", "@router.*(*"): "FastAPI serves it",
    ("*.py", "model_config"): "pydantic reads it",
    ("app/*.py", "@*.command(*"): "Typer calls it",
    ("app/*.py", "@*_validator(*"): "pydantic calls it",
    ("app/errors.py", "title"): "pydantic writes it into the response",
    ("app/settings.py", "cls"): "what a class method must take",
    ("app/sqlite.py", "do_begin"): "SQLAlchemy calls it",
    ("app/sqlite.py", "supports_statement_cache"): "SQLAlchemy reads it",
    ("migrations/versions/*.py", "branch_labels"): "Alembic reads it",
    ("migrations/versions/*.py", "depends_on"): "Alembic reads it",
    ("migrations/versions/*.py", "down_revision"): "Alembic reads it",
    ("tests/*.py", "@app.*(*"): "FastAPI serves it",
    ("tests/*.py", "@pytest.fixture*"): "looked at more closely by `unused_fixtures`",
    ("tests/*.py", "pytestmark"): "pytest reads it",
    ("tests/conftest.py", "pytest_*"): "pytest calls it",
    ("tests/conftest.py", "own_database"): "asked for because of what it does",
    ("tests/isolation.py", "aclose"): "httpx2 calls it",
    ("tests/isolation.py", "middleware_stack"): "Starlette reads it",
    ("tests/isolation.py", "none_as_null"): "SQLAlchemy reads it",
    ("tests/isolation.py", "openapi_schema"): "FastAPI reads it",
    ("tests/test_errors.py", "age"): "pydantic checks it",
    ("tests/wiring/test_isolation.py", "added"): "looked for as a string",
    ("tests/wiring/*.py", "mode"): "only the mark that comes with the value counts",
}
"""A file, and a name in it or the decorator above: what uses it though no line of Python does."""


def sources(project: Path, *folders: str) -> dict[str, ast.Module]:
    """Return the syntax trees of the Python files in folders, by their paths in the project."""
    return {
        path.relative_to(project).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for folder in folders
        for path in sorted((project / folder).rglob("*.py"))
    }


def configuration(project: Path) -> dict[str, Any]:
    """Return what pyproject.toml says."""
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))


def _entry_points(project: Path) -> list[tuple[str, str]]:
    """Return the modules that the command and the server start with, and what they use there."""
    settings = configuration(project)
    values = [*settings["project"]["scripts"].values(), settings["tool"]["fastapi"]["entrypoint"]]
    return [(module, name) for module, _, name in (value.partition(":") for value in values)]


# Dependencies


def unneeded_dependencies(environment: Project, project: Path) -> list[str]:
    """Compare imports with dependencies; `environment` is the one that has them installed."""
    # What is shipped must do with the dependencies that are shipped; everything, with all.
    shipped = _deptry(environment, project, "--extend-exclude", "tests")
    everything = _deptry(
        environment, project, "--exclude", r"\.venv", "--non-dev-dependency-groups", "dev"
    )
    run = _commands_run(project)
    not_imported = {name for code, name in shipped | everything if code == "DEP002"}
    used = {
        ("DEP002", name)
        for name in not_imported
        if _scripts(environment, name) & run or _is_driver(project, name) or has_use(project, name)
    }
    extras = {name for name in requirements(project) if "[" in name}
    return sorted(
        [f"{code} {name}" for code, name in (shipped | everything) - used]
        + [f"extra {name}" for name in extras if not has_use(project, name)]
    )


def requirements(project: Path) -> set[str]:
    """Return the names of all dependencies, and once more those that have extras, with them."""
    settings = configuration(project)
    listed = [*settings["project"]["dependencies"], *settings["dependency-groups"]["dev"]]
    found = re.findall(r"^([\w.-]+)(\[.+?\])?", "\n".join(listed), re.MULTILINE)
    return {name for name, _ in found} | {name + extras for name, extras in found}


def has_use(project: Path, requirement: str) -> bool:
    """Tell whether the project has what the table says that the requirement is there for."""
    pattern, text, _ = EVIDENCE.get(requirement, ("", "", ""))
    return any(
        fnmatch(path.relative_to(project).as_posix(), pattern)
        and text in path.read_text(encoding="utf-8")
        for path in files_in(project)
    )


def _deptry(environment: Project, project: Path, *options: str) -> set[tuple[str, str]]:
    """Run deptry, and return the code and the package of each violation."""
    with TemporaryDirectory() as folder:
        report = Path(folder, "deptry.json")
        finished = programs.run(
            *(programs.uv(), "run", "--quiet", "--project", str(environment.path)),
            *("--with", DEPTRY, "deptry", ".", "--json-output", str(report), *options),
            cwd=project,
            env=environment.environment(),
            check=False,
        )
        # Violations and accidents have the same exit code.
        assert report.exists(), finished.report()
        violations = json.loads(report.read_text(encoding="utf-8"))
    return {(violation["error"]["code"], violation["module"]) for violation in violations}


def _commands_run(project: Path) -> set[str]:
    """Return the commands that people, hooks and workflows run in the project's environment."""
    texts = [
        path.read_text(encoding="utf-8")
        for path in (
            project / "README.md",
            project / ".pre-commit-config.yaml",
            *project.glob(".github/workflows/*.yml"),
        )
    ]
    return set(re.findall(r"\buv run (?:--\S+ )*([\w.-]+)", "\n".join(texts)))


def _scripts(environment: Project, name: str) -> set[str]:
    """Return the commands that an installed package brings."""
    site_packages = map(str, environment.path.glob(".venv/lib/python*/site-packages"))
    return {
        file.name
        for distribution in distributions(name=name, path=list(site_packages))
        for file in distribution.files or ()
        if file.parent.name == "bin"
    }


def _is_driver(project: Path, name: str) -> bool:
    """Tell whether the application's database URLs name the package, such as "sqlite+name"."""
    url = re.compile(rf'"\w+\+{re.escape(name)}"')
    return any(url.search(path.read_text(encoding="utf-8")) for path in project.glob("app/*.py"))


# Settings


def idle_settings(project: Path) -> list[str]:
    """Find settings that the application never reads, and differences from .env.example."""
    trees = sources(project, "app")
    fields = {
        (field, owner)
        for tree in trees.values()
        for owner in _settings_classes(tree, _settings_names(trees.values()))
        for field in _fields(owner)
    }
    names = {name for name, _ in fields}
    lines = (project / ".env.example").read_text(encoding="utf-8")
    example = {name.lower() for name in re.findall(r"^(?:# )?([A-Z0-9_]+)=", lines, re.MULTILINE)}
    return sorted(
        [f"{name}: never read" for name, owner in fields if name not in _read(trees, owner)]
        + [f"{name}: not in .env.example" for name in names - example]
        + [f"{name}: only in .env.example" for name in example - names]
    )


def _settings_names(trees: Iterable[ast.Module]) -> set[str]:
    """Return the names of all classes that inherit from BaseSettings, near or far."""
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    names, before = {"BaseSettings"}, 0
    while len(names) > before:
        before = len(names)
        names |= {node.name for node in classes if names & set(map(_last_name, node.bases))}
    return names


def _settings_classes(tree: ast.Module, names: set[str]) -> Iterator[ast.ClassDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name in names:
            yield node


def _fields(owner: ast.ClassDef) -> Iterator[str]:
    for node in owner.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def _read(trees: Mapping[str, ast.Module], owner: ast.ClassDef) -> set[str]:
    """Return what is read of any settings, such as `app.state.settings.x`, but not in a class."""
    own = set(ast.walk(owner))
    return {
        node.attr
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and _last_name(node.value).endswith("settings")
        and isinstance(node.ctx, ast.Load)
        and node not in own
    }


def _last_name(node: ast.expr) -> str:
    """Return "c" for `c`, `a.b.c` and `a.b.c(...)`."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


# Fixtures


@dataclass(frozen=True)
class Fixture:
    """A fixture that a test file or conftest.py defines."""

    name: str
    file: str
    wants: frozenset[str]
    autouse: bool

    def seen_from(self, file: str) -> bool:
        """Tell whether tests in a file could ask for it."""
        folder, _, name = self.file.rpartition("/")
        return file.startswith(f"{folder}/") if name == "conftest.py" else file == self.file


def unused_fixtures(project: Path) -> list[str]:
    """Find fixtures that no test and no other fixture asks for, and that README.md leaves out."""
    trees = sources(project, "tests")
    # The outermost first; what is further in takes precedence.
    fixtures = sorted(
        (fixture for file, tree in trees.items() for fixture in _fixtures(file, tree)),
        key=lambda fixture: (fixture.file.count("/"), not fixture.file.endswith("conftest.py")),
    )
    # As if there were a test beside the outermost conftest.py that asks for what is explained.
    readme = set(re.findall(r"`(\w+)`", (project / "README.md").read_text(encoding="utf-8")))
    wanted = {"tests/README": readme} | {file: _wanted(tree) for file, tree in trees.items()}
    used = {fixture for file, names in wanted.items() for fixture in _reach(file, names, fixtures)}
    return [f"{fixture.file}: {fixture.name}" for fixture in fixtures if fixture not in used]


def _fixtures(file: str, tree: ast.Module) -> Iterator[Fixture]:
    for node in ast.walk(tree):
        if not isinstance(node, Function):
            continue
        for decorator in node.decorator_list:
            if _last_name(decorator) == "fixture":
                given = decorator.keywords if isinstance(decorator, ast.Call) else []
                options = {
                    option.arg: option.value.value
                    for option in given
                    if isinstance(option.value, ast.Constant)
                }
                name = str(options.get("name") or node.name)
                yield Fixture(name, file, _arguments(node), options.get("autouse") is True)


def _arguments(node: Function) -> frozenset[str]:
    return frozenset(argument.arg for argument in (*node.args.args, *node.args.kwonlyargs))


def _wanted(tree: ast.Module) -> set[str]:
    """Return the fixtures that the tests of a file ask for."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, Function) and node.name.startswith("test_"):
            names |= _arguments(node)
        elif isinstance(node, ast.Call) and _last_name(node) == "usefixtures":
            names |= {ast.literal_eval(argument) for argument in node.args}
    return names


def _reach(file: str, names: set[str], fixtures: list[Fixture]) -> set[Fixture]:
    """Return the fixtures that a file's tests use, those that others ask for included."""
    visible = [fixture for fixture in fixtures if fixture.seen_from(file)]
    reached: set[Fixture] = set()
    # Pairs of a name, and the fixture of the same name that asks for what it overrides.
    pending: list[tuple[str, Fixture | None]] = [(name, None) for name in names]
    pending += [(fixture.name, None) for fixture in visible if fixture.autouse]
    while pending:
        name, override = pending.pop()
        candidates = [fixture for fixture in visible if fixture.name == name]
        if override:
            candidates = candidates[: candidates.index(override)]
        if candidates and (fixture := candidates[-1]) not in reached:
            reached.add(fixture)
            pending += [(wish, fixture if wish == name else None) for wish in fixture.wants]
    return reached


# Files


def unreachable_files(project: Path) -> list[str]:
    """Find modules that nothing imports, and other files that nothing names or looks for."""
    texts = texts_in(project)
    modules = {name: text for name, text in texts.items() if name.endswith(".py")}
    settings = configuration(project)
    migrations = settings["tool"]["alembic"]["script_location"].removeprefix("%(here)s/")
    run = {file for module, _ in _entry_points(project) for file in _files(module, modules)}
    run |= _matching(modules, rf"{migrations}/(env|versions/\w+)\.py")
    collected = {
        name
        for folder in settings["tool"]["pytest"]["testpaths"]
        for name in _matching(modules, rf"{folder}/(.+/)?(conftest|test_\w+)\.py")
    }
    # That a test imports it is no reason for the application to have it.
    shipped = _imported(run, modules)
    tested = {name for name in _imported(collected, modules) if name.startswith("tests/")}
    return sorted(
        (modules.keys() - shipped - tested)
        | {
            name
            for name in texts.keys() - modules.keys()
            if not looked_for(name) and not _named(name, texts)
        }
    )


def looked_for(name: str) -> list[str]:
    """Return the patterns of the table that a file's name matches."""
    return [pattern for pattern in READ_BY_NAME if fnmatch(name, pattern)]


def _named(name: str, texts: Mapping[str, str]) -> bool:
    """Tell whether any other file names this one."""
    for other, text in texts.items():
        # The README's table says whose each file is, not what it is for.
        lines = [line for line in text.splitlines() if not line.startswith("|")]
        if other != name and name in "\n".join(lines):
            return True
    return False


def _matching(names: Iterable[str], pattern: str) -> set[str]:
    return {name for name in names if re.fullmatch(pattern, name)}


def _imported(files: set[str], modules: Mapping[str, str]) -> set[str]:
    """Return these files, and those that they import, near or far."""
    pending = set(files)
    reached: set[str] = set()
    while pending:
        file = pending.pop()
        reached.add(file)
        # Importing a module imports the packages that it is in.
        for imported in (*_imports(file, modules), file.removesuffix(".py").replace("/", ".")):
            pending |= _files(imported, modules) - reached
    return reached


def _files(module: str, modules: Mapping[str, str]) -> set[str]:
    """Return the files that are run when "a.b.c" is imported."""
    parts = module.split(".")
    paths = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return {f"{path}{end}" for path in paths for end in (".py", "/__init__.py")} & modules.keys()


def _imports(file: str, modules: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(modules[file])):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # What is imported from a package may be a module.
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
    if file == "app/features.py":
        # Features are found by being there.
        for kind in re.findall(r'_modules\("(\w+)"\)', modules[file]):
            yield from (
                name.removesuffix(".py").replace("/", ".")
                for name in _matching(modules, rf"app/\w+/{kind}\.py")
            )


# Names


@dataclass(frozen=True)
class UnusedName:
    """A name that vulture found no use of."""

    file: str
    line: int
    name: str
    what: str
    decorator: str
    """The first line of the decorators, or nothing."""

    def excuses(self) -> list[tuple[str, str]]:
        """Return the table's entries that are about this name."""
        return [
            (file, pattern)
            for file, pattern in USED_FROM_OUTSIDE
            if fnmatch(self.file, file)
            and fnmatch(self.decorator if pattern.startswith("@") else self.name, pattern)
        ]

    def __str__(self) -> str:
        """Return where it is."""
        return f"{self.file}:{self.line}: {self.what}"


def unused_names(project: Path) -> list[str]:
    """Find functions, classes, constants and so on that nothing refers to."""
    readme = (project / "README.md").read_text(encoding="utf-8")
    # What the README explains is there for the project's owner.
    used = {*re.findall(r"`(\w+)`", readme), *(name for _, name in _entry_points(project))}
    return [str(name) for name in vulture(project) if name.name not in used and not name.excuses()]


@cache
def vulture(project: Path) -> list[UnusedName]:
    """Return what vulture finds in a project, which must not change afterwards."""
    # That a test uses it is no reason for the application to have it.
    application = _vulture(project, "app", "migrations")
    everything = _vulture(project, "app", "migrations", "tests")
    return application + [name for name in everything if name.file.startswith("tests/")]


def _vulture(project: Path, *folders: str) -> list[UnusedName]:
    finished = programs.run(
        *(programs.uv(), "tool", "run", "--quiet", VULTURE, *folders),
        cwd=project,
        env=programs.environment(UV_PYTHON=sys.executable),
        check=False,
    )
    # 3 means that it found something.
    assert finished.exit_code in (0, 3), finished.report()
    found = re.findall(r"^(\S+):(\d+): (.+) \(\d+% confidence\)$", finished.stdout, re.MULTILINE)
    assert len(found) == len(finished.stdout.splitlines()), finished.report()
    names = []
    for file, line, what in found:
        start = (project / file).read_text(encoding="utf-8").splitlines()[int(line) - 1].strip()
        decorator = start if start.startswith("@") else ""
        names.append(UnusedName(file, int(line), what.split("'")[1], what, decorator))
    return names
