"""Compare an update with rendering the same project from scratch, both in-process.

Copier renders three times for an update. The same ratio for an empty template of as many files is
measured for information; it shows how much of the cost is Copier's own.
"""

import shutil
import time
from pathlib import Path
from statistics import median

from render import empty_template

import measuring
from support.personas import begin, grow, save
from support.releases import History, read_history
from support.rendering import commit, files_in

LIMIT = 3


def main() -> None:
    """Measure both templates."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds

    with measuring.template() as (_, folder):
        ours = read_history(folder / "ours")
        start = ours.at(ours.releases[-1]).render(folder / "project")
        empty = with_answers(empty_template(folder / "empty", start).path)
        begin(start)
        grow(start)
        save(start)
        ratios = []
        for name, history, project in (
            ("this template", ours, start),
            ("empty template", empty, made(empty, folder / "nothing")),
        ):
            renders, updates = compare(history, project, folder / name, rounds)
            pairs = zip(updates, renders, strict=True)
            ratios.append(median(update / render for update, render in pairs))
            print(
                f"{name}, {len(files_in(project))} files: "
                f"render {median(renders) * 1000:.0f} ms, update {median(updates) * 1000:.0f} ms, "
                f"ratio {ratios[-1]:.2f}"
            )
    measuring.conclude(ratios[:1], LIMIT, max)


def with_answers(path: Path) -> History:
    """Make the empty template updatable from one release to the next."""
    answers = path / "template" / "{{ _copier_conf.answers_file }}.jinja"
    answers.write_text("{{ _copier_answers | to_nice_yaml }}", encoding="utf-8")
    (path / "template" / ".copier-answers.yml").unlink()
    commit(path, "v1.1.0")
    commit(path, "v1.2.0")
    return History(path, ("v1.1.0",), "v1.2.0")


def made(history: History, project: Path) -> Path:
    """Render the older release and commit it."""
    history.at(history.releases[-1]).render(project)
    begin(project)
    return project


def compare(
    history: History, start: Path, folder: Path, rounds: int
) -> tuple[list[float], list[float]]:
    """Return the seconds of renders and updates, measured alternately."""
    renders, updates = [], []
    for number in range(rounds + 1):
        project = folder / f"project-{number}"
        shutil.copytree(start, project)
        started = time.perf_counter()
        history.current.render(folder / f"render-{number}")
        between = time.perf_counter()
        history.update(project)
        # The first round is a warm-up.
        if number:
            renders.append(between - started)
            updates.append(time.perf_counter() - between)
    return renders, updates


if __name__ == "__main__":
    main()
