"""Searches for unused parts of a rendered project: dependencies, names, fixtures and files.

Each search returns one line per finding.
"""

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from support import programs
from support.rendering import texts_in

USED_BY_LIBRARIES = (
    "model_config",  # pydantic
    *("branch_labels", "depends_on", "down_revision"),  # Alembic
    *("affected_columns", "indexes_to_recreate"),  # alembic-postgresql-enum
    *("type_annotation_map", "impl", "cache_ok"),  # SQLAlchemy
    *("process_result_value", "is_disconnect", "added_by", "added_by_id"),
    *("token_type", "expires_in", "is_current"),  # FastAPI, which serializes responses
    *("@*.command", "@*_validator", "@event.listens_for", "@router.*", "@*.dispatch_for"),
)
"""Names that only libraries use, and decorators that register names with them."""

USED_BY_LIBRARIES_IN_TESTS = (
    *("aclose", "none_as_null"),  # httpx2, SQLAlchemy
    "pytest_*",
    "@pytest.fixture",  # `unused_fixtures` checks these
)
"""The same for tests, in addition to the names above."""

Function = ast.FunctionDef | ast.AsyncFunctionDef

READ_BY_NAME = {
    "*.md": "people",
    ".copier-answers.yml": "Copier",
    ".devcontainer/devcontainer.json": "editors",
    ".github/dependabot.yml": "Dependabot",
    ".github/workflows/*.yml": "GitHub",
    ".gitlab-ci.yml": "GitLab",
    ".gitattributes": "git",
    ".gitignore": "git",
    ".pre-commit-config.yaml": "pre-commit",
    ".python-version": "uv",
    ".squawk.toml": "squawk",
    "Dockerfile": "Docker",
    "LICENSE": "people",
    "app/users/mails/*": "MailTemplate",
    "deploy/kubernetes/*.yaml": "kubectl",
    "migrations/script.py.mako": "Alembic",
    "pyproject.toml": "uv",
    "renovate.json": "Renovate",
}
"""Files that are found by name, and who reads them; no other file has to mention them."""


def sources(project: Path, *folders: str) -> dict[str, ast.Module]:
    """Return the syntax trees of the Python files in folders, by path."""
    return {
        path.relative_to(project).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for folder in folders
        for path in sorted((project / folder).rglob("*.py"))
    }


def configuration(project: Path) -> dict[str, Any]:
    """Return the parsed pyproject.toml."""
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))


def _entry_points(project: Path) -> list[tuple[str, str]]:
    """Return the entry points of the command and the server, as (module, name)."""
    settings = configuration(project)
    values = [*settings["project"]["scripts"].values(), settings["tool"]["fastapi"]["entrypoint"]]
    return [(module, name) for module, _, name in (value.partition(":") for value in values)]


def _explained(project: Path) -> set[str]:
    """Return the names that the manual explains; they exist for the project's owner."""
    manual = "".join(
        (project / "app" / "core" / name).read_text(encoding="utf-8")
        for name in ("README.md", "DEPLOYMENT.md")
    )
    return set(re.findall(r"`(?:\w+\.)*(\w+)`", manual))


# Dependencies


def requirements(project: Path) -> set[str]:
    """Return the names of the template's dependencies, including extras."""
    settings = configuration(project)
    listed = [
        *settings["project"]["optional-dependencies"]["core"],
        *settings["dependency-groups"]["core-dev"],
    ]
    return set(re.findall(r"^[\w.-]+(?:\[.+?\])?", "\n".join(listed), re.MULTILINE))


def dependency_faults(project: Path, base: Set[str], options: Set[str]) -> list[str]:
    """Compare dependencies with imports, and with the reasons in options/.

    Args:
        project: a render.
        base: dependencies of every service that nothing imports, or that have extras.
        options: dependencies that options add, imported or not.
    """
    # Shipped code may use runtime dependencies only; tests may use all of them.
    shipped = _deptry(project, "--extend-exclude", "tests")
    everything = _deptry(
        project, "--exclude", r"\.venv", "--non-dev-dependency-groups", "dev,core-dev"
    )
    idle = {name for code, name in shipped | everything if code == "DEP002"}
    needed = {
        name for name in requirements(project) if name.partition("[")[0] in idle or "[" in name
    }
    return sorted(
        [f"{code} {name}" for code, name in shipped | everything if code != "DEP002"]
        + [
            f"{name}: not imported, and options/ gives no reason"
            for name in needed - base - options
        ]
        + [f"{name}: options/ gives a needless reason" for name in base - needed]
    )


def _deptry(project: Path, *options: str) -> set[tuple[str, str]]:
    """Run deptry; return the code and package of each violation."""
    with TemporaryDirectory() as folder:
        report = Path(folder, "deptry.json")
        command = (sys.executable, "-m", "deptry", ".", "--json-output", str(report))
        options = (*options, "--package-module-name-map", "pyjwt=jwt")
        # The API of FastAPI's own telemetry, which FastAPI requires.
        options = (*options, "--per-rule-ignores", "DEP001=opentelemetry,DEP003=opentelemetry")
        finished = programs.run(*command, *options, cwd=project, check=False)
        # deptry uses the same exit code for violations and crashes.
        assert report.exists(), finished.report()
        violations = json.loads(report.read_text(encoding="utf-8"))
    return {(violation["error"]["code"], violation["module"]) for violation in violations}


# Names


def unused_names(
    project: Path,
    excuses: Iterable[str] = USED_BY_LIBRARIES,
    in_tests: Iterable[str] = USED_BY_LIBRARIES_IN_TESTS,
) -> list[str]:
    """Find unused functions, classes, settings, constants and so on."""
    # Application code that only tests use counts as unused.
    application = _vulture(project, {*excuses}, "app", "migrations")
    everything = _vulture(project, {*excuses, *in_tests}, "app", "migrations", "tests")
    return application + [line for line in everything if line.startswith("tests/")]


def needed_excuses(project: Path) -> set[str]:
    """Return the excuses without which `unused_names` would find more."""
    trees = sources(project, "app", "migrations", "tests")
    needed: set[str] = set()
    for line in unused_names(project, (), ()):
        file, name = line.partition(":")[0], line.split("'")[1]
        found = {name} | {
            f"@{ast.unparse(decorator).partition('(')[0]}"
            for node in ast.walk(trees[file])
            if isinstance(node, Function) and node.name == name
            for decorator in node.decorator_list
        }
        table = USED_BY_LIBRARIES_IN_TESTS if file.startswith("tests/") else USED_BY_LIBRARIES
        needed |= {excuse for excuse in table if any(fnmatch(each, excuse) for each in found)}
    return needed


def _vulture(project: Path, excuses: Set[str], *folders: str) -> list[str]:
    named = _explained(project) | {name for _, name in _entry_points(project)}
    decorators = {excuse for excuse in excuses if excuse.startswith("@")}
    finished = programs.run(
        *(sys.executable, "-m", "vulture", *folders),
        f"--ignore-names={','.join(sorted((named | excuses) - decorators))}",
        f"--ignore-decorators={','.join(sorted(decorators))}",
        cwd=project,
        check=False,
    )
    # Exit code 3: vulture found something.
    assert finished.exit_code in (0, 3), finished.report()
    found = re.findall(r"^(\S+):\d+: (.+) \(\d+% confidence\)$", finished.stdout, re.MULTILINE)
    assert len(found) == len(finished.stdout.splitlines()), finished.report()
    return [f"{file}: {what}" for file, what in found]


def idle_settings(project: Path) -> list[str]:
    """Find settings that are never read from an object whose name ends with "settings"."""
    trees = sources(project, "app")
    read = {
        node.attr
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and _last_name(node.value).endswith("settings")
    }
    return sorted(
        field.target.id
        for tree in trees.values()
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        and any(_last_name(base).endswith("Settings") for base in owner.bases)
        for field in owner.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if field.target.id not in read
    )


# Fixtures


@dataclass(frozen=True)
class Fixture:
    """A fixture defined in a test file or conftest.py."""

    name: str
    file: str
    wants: frozenset[str]
    autouse: bool

    @property
    def is_of_plugin(self) -> bool:
        """Whether the fixture is in a package loaded by the outermost conftest.py."""
        return self.file.endswith("/__init__.py")

    def seen_from(self, file: str) -> bool:
        """Return whether tests in a file can request the fixture."""
        folder, _, name = self.file.rpartition("/")
        if self.is_of_plugin:
            return True
        return file.startswith(f"{folder}/") if name == "conftest.py" else file == self.file


def unused_fixtures(project: Path) -> list[str]:
    """Find fixtures that no test or fixture requests, and that the manual does not explain."""
    trees = sources(project, "tests")
    # Outermost first; inner fixtures override outer ones.
    fixtures = sorted(
        (fixture for file, tree in trees.items() for fixture in _fixtures(file, tree)),
        key=lambda fixture: (
            not fixture.is_of_plugin,
            fixture.file.count("/"),
            not fixture.file.endswith("conftest.py"),
        ),
    )
    # Treat the manual like a test in the outermost folder that requests what it explains.
    wanted = {"tests/manual": _explained(project)} | {
        file: _wanted(tree) for file, tree in trees.items()
    }
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


def _last_name(node: ast.expr) -> str:
    """Return "c" for `c`, `a.b.c` and `a.b.c(...)`."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _arguments(node: Function) -> frozenset[str]:
    """Return the fixtures that a function requests, as arguments or with `getfixturevalue`."""
    calls = (each for each in ast.walk(node) if isinstance(each, ast.Call))
    return frozenset(argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)) | {
        ast.literal_eval(call.args[0]) for call in calls if _last_name(call) == "getfixturevalue"
    }


def _wanted(tree: ast.Module) -> set[str]:
    """Return the fixtures that a file's tests request."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, Function) and node.name.startswith("test_"):
            names |= _arguments(node)
        elif isinstance(node, ast.Call) and _last_name(node) == "usefixtures":
            names |= {ast.literal_eval(argument) for argument in node.args}
    return names


def _reach(file: str, names: set[str], fixtures: list[Fixture]) -> set[Fixture]:
    """Return the fixtures that a file's tests use, directly or indirectly."""
    visible = [fixture for fixture in fixtures if fixture.seen_from(file)]
    reached: set[Fixture] = set()
    # Pairs of a fixture name and the fixture, if any, that overrides it and requests it.
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
    """Find modules that are never imported, and other files that nothing mentions or looks for."""
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
    collected |= _matching(modules, r"tests/core/\w+/__init__\.py")  # plugins of tests.core
    documented = re.findall(r"python -m ([\w.]+)", texts["app/core/README.md"])
    collected |= {file for module in documented for file in _files(module, modules)}
    # Application modules that only tests import count as unreachable.
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
    """Return the patterns in READ_BY_NAME that a file name matches."""
    return [pattern for pattern in READ_BY_NAME if fnmatch(name, pattern)]


def _named(name: str, texts: Mapping[str, str]) -> bool:
    """Return whether any other file mentions this one."""
    for other, text in texts.items():
        # The manual's table lists the owner of each file, not its purpose.
        lines = [line for line in text.splitlines() if not line.startswith("|")]
        if other != name and name in "\n".join(lines):
            return True
    return False


def _matching(names: Iterable[str], pattern: str) -> set[str]:
    return {name for name in names if re.fullmatch(pattern, name)}


def _imported(files: set[str], modules: Mapping[str, str]) -> set[str]:
    """Return these files and all that they import, directly or indirectly."""
    pending = set(files)
    reached: set[str] = set()
    while pending:
        file = pending.pop()
        reached.add(file)
        # Importing a module also imports its parent packages.
        for imported in (*_imports(file, modules), file.removesuffix(".py").replace("/", ".")):
            pending |= _files(imported, modules) - reached
    return reached


def _files(module: str, modules: Mapping[str, str]) -> set[str]:
    """Return the files that run when "a.b.c" is imported."""
    parts = module.split(".")
    paths = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return {f"{path}{end}" for path in paths for end in (".py", "/__init__.py")} & modules.keys()


def _imports(file: str, modules: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(modules[file])):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # A name imported from a package can be a module.
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
    if file == "app/core/features.py":
        # Features are discovered, not imported by name.
        for kind in re.findall(r'_modules\("(\w+)"\)', modules[file]):
            yield from (
                name.removesuffix(".py").replace("/", ".")
                for name in _matching(modules, rf"app/(core/)?\w+/{kind}\.py")
            )
