"""Compare the duration of the shipped tests with that of release 0.7.0."""

import time
from collections.abc import Sequence
from statistics import median

import measuring
from support.projects import Project
from support.releases import release_commits
from support.rendering import Template
from support.root import ROOT

LIMIT = 0.6
DATABASES = ("sqlite", "postgresql", "mysql")
BEFORE = "0.7.0"


def main() -> None:
    """Measure on each database, alternating both versions."""
    parser = measuring.parser(__doc__, DATABASES)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    ratios = []
    older = Template(ROOT, release_commits()[BEFORE])
    with measuring.template() as (template, folder):
        for database in measuring.chosen(options.database, DATABASES):
            projects = [
                measuring.make_project(
                    source, folder / f"{database}-{number}", database, example=False
                )
                for number, source in enumerate((template, older))
            ]
            ours, theirs = compare(projects, options.rounds)
            ratios.append(ours / theirs)
            print(
                f"{database}: tests {ours:.2f} s, those of {BEFORE} {theirs:.2f} s, "
                f"ratio {ours / theirs:.2f}"
            )
    measuring.conclude(ratios, LIMIT, max)


def compare(projects: Sequence[Project], rounds: int) -> list[float]:
    """Return the median duration of each project's tests, which take turns."""
    walls: list[list[float]] = [[] for _ in projects]
    for number in range(rounds + 1):
        for project, wall in zip(projects, walls, strict=True):
            started = time.perf_counter()
            project.tests()
            # The first run compiles the imported modules.
            if number:
                wall.append(time.perf_counter() - started)
    return list(map(median, walls))


if __name__ == "__main__":
    main()
