"""Measure building an image again after a change of the code, against building it from scratch.

Needs root and the packages of Debian that .ci/run installs. Packages from PyPI are cached.
"""

import time
from statistics import median

import measuring
from support import containers

LIMIT = 0.4


def main() -> None:
    """Print the seconds of both, and their ratio."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if reason := containers.missing():
        raise SystemExit(reason)
    with (
        measuring.template() as (template, folder),
        containers.opened(folder / "containers") as engine,
    ):
        path = folder / "service"
        project = measuring.make_project(template, path, "postgresql", container=True)

        def seconds(*arguments: str) -> float:
            begin = time.perf_counter()
            engine.build(path, project.slug, *arguments)
            return time.perf_counter() - begin

        seconds()  # fills the cache of packages
        scratch, again = [], []
        for number in range(options.rounds):
            scratch.append(seconds("--no-cache"))
            (path / "app" / "added.py").write_text(f"NUMBER = {number}\n", encoding="utf-8")
            again.append(seconds())
        print(f"from scratch: {median(scratch):.1f} s, again: {median(again):.1f} s")
        measuring.conclude([median(again) / median(scratch)], LIMIT, max)


if __name__ == "__main__":
    main()
