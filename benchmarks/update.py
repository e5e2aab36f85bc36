"""Compare `prewired update` of a modified project with `copier copy`, as whole commands.

`copier update` is measured for information.
"""

import shutil
import sys
import time
from pathlib import Path
from statistics import median

import measuring
from support.personas import begin, grow, save
from support.programs import environment, run
from support.releases import read_history
from support.rendering import COMMITTER, files_in

LIMIT = 3.5

BIN = Path(sys.prefix) / "bin"


def main() -> None:
    """Measure rounds of all three commands, in turn."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds

    with measuring.template() as (_, folder):
        history = read_history(folder / "history")
        start = history.at(history.releases[-1]).render(folder / "project")
        begin(start)
        grow(start)
        save(start)
        source = str(history.path)
        release = ("--vcs-ref", history.target)
        commands = {
            "render": ("copier", "copy", "--quiet", "--defaults", *release, source, "new"),
            "prewired update": ("prewired", "update", "--defaults", "--to", history.target),
            "copier update": ("copier", "update", "--quiet", "--defaults", *release),
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            for name, command in commands.items():
                project = folder / f"{number}-{name}"
                shutil.copytree(start, project)
                taken = timed(project, command)
                # The first round is a warm-up.
                if number:
                    seconds[name].append(taken)
        print(f"{len(files_in(start))} files")
        for name, measured in seconds.items():
            print(f"{name}: {median(measured) * 1000:.0f} ms")
        ratios = {
            name: median(
                each / render for each, render in zip(measured, seconds["render"], strict=True)
            )
            for name, measured in seconds.items()
        }
        print(f"copier update: {ratios['copier update']:.2f} renders")
    measuring.conclude([ratios["prewired update"]], LIMIT, max)


def timed(project: Path, command: tuple[str, ...]) -> float:
    """Run a command in a project, and return its seconds."""
    started = time.perf_counter()
    program, *arguments = command
    run(str(BIN / program), *arguments, cwd=project, env=environment(**COMMITTER))
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
