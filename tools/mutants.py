"""Mutate `app/` of rendered services, and count the mutants that tests and proofs detect.

    uv run tools/mutants.py --seed 1 --number 90

Code shared by several databases is sampled once. The same seed draws the same mutants.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

# The meta suite has the helpers for rendering and running projects.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from small_changes import Change, Changes
from support import interpreters, proofs
from support.databases import ELSEWHERE, serve
from support.forked import changed, forking
from support.programs import Finished
from support.projects import Project
from support.questions import first_of_each_database
from support.rendering import snapshot


@dataclass(frozen=True)
class Mutant:
    """A change to a file of a rendered project."""

    database: str
    file: str
    change: Change

    def describe(self, source: bytes) -> str:
        """Return the location, the change, and the lines before and after it."""
        line = source.count(b"\n", 0, self.change.start) + 1
        before, after = source.decode().splitlines(), self.change.of(source).splitlines()
        lines = list(unified_diff(before, after, n=0, lineterm=""))[3:]
        return "\n    ".join([f"{self.database} {self.file}:{line}  {self.change.what}", *lines])


def draw(projects: Mapping[str, Path], seed: int, number: int) -> list[Mutant]:
    """Draw mutants from projects, which are keyed by database."""
    places = defaultdict(list)
    for database, project in projects.items():
        for path in sorted(project.glob("app/**/*.py")):
            file = path.relative_to(project).as_posix()
            for key, change in Changes(path.read_bytes()).by_identity().items():
                places[file, *key].append(Mutant(database, file, change))
    # Sampling by content, not position, keeps most of a sample when the template changes.
    digests = {key: sha256(repr((seed, key)).encode()).digest() for key in places}
    drawn = sorted(places, key=lambda key: digests[key])[:number]
    return [places[key][digests[key][-1] % len(places[key])] for key in drawn]


def survivors(project: Project, drawn: Sequence[Mutant]) -> Iterator[str]:
    """Run the tests on each mutant, and yield a description of each undetected one."""
    project.run("uv", "sync")
    with (
        serve(project) as server,
        forking(project, {"TEST_DATABASE_URL": server.url, "TZ": ELSEWHERE}) as runner,
    ):
        files = sorted(project.path.glob("tests/**/test_*.py"))
        tests = [file.relative_to(project.path) for file in files]
        started = time.monotonic()
        require_success(runner.pytest(*map(str, tests)))
        limit = 30 + 3 * (time.monotonic() - started)
        for each in drawn:
            path = project.path / each.file
            source = path.read_bytes()
            # The tests most likely to detect the mutant run first.
            tests.sort(key=lambda test: (path.stem not in test.stem, test))
            with changed(path, each.change.of(source)):
                finished = runner.pytest("-x", *map(str, tests), timeout=limit)
            if finished.exit_code == 0:
                yield each.describe(source)
        # A failure without a mutant means that something else broke, such as the server.
        require_success(runner.pytest(*map(str, tests)))


def require_success(finished: Finished) -> None:
    """Exit unless the tests pass without mutations."""
    if finished.exit_code:
        sys.exit(finished.report())


def main() -> None:
    """Print the survivors and the detection rate; exit with code 1 if it is too low."""
    combinations = {each.database: each for each in first_of_each_database()}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--number", type=int, default=90)
    parser.add_argument("--database", action="append", choices=combinations)
    parser.add_argument("--at-least", type=float, default=90, help="minimum percentage detected")
    parser.add_argument("--list", action="store_true", help="list the mutants and exit")
    options = parser.parse_args()

    with TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
        template = snapshot(Path(folder, "template"))
        projects = {
            database: Project(
                template.render(Path(folder, database), combinations[database].answers),
                interpreters.at_least(interpreters.WANTED[0]),
            )
            for database in options.database or combinations
        }
        drawn = draw(
            {name: each.path for name, each in projects.items()}, options.seed, options.number
        )
        if options.list:
            for each in drawn:
                print(each.describe((projects[each.database].path / each.file).read_bytes()))
            return
        survived = 0
        for database, project in projects.items():
            proofs.drop(project.path, combinations[database].answers)
            for survivor in survivors(
                project, [each for each in drawn if each.database == database]
            ):
                survived += 1
                print(survivor, flush=True)
    noticed = len(drawn) - survived
    percent = 100 * noticed / len(drawn)
    print(f"seed {options.seed}: {noticed} of {len(drawn)} detected ({percent:.0f}%)")
    sys.exit(percent < options.at_least)


if __name__ == "__main__":
    main()
