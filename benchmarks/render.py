"""Compare `copier copy --defaults` with an empty template of as many files."""

import shutil
import sys
import time
from pathlib import Path
from statistics import median

import measuring
from support import programs
from support.rendering import Template, commit, files_in, git

LIMIT = 1.5


def main() -> None:
    """Alternate copies of both templates."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds

    with measuring.template() as (ours, folder):
        rendered = ours.render(folder / "rendered")
        files = len(files_in(rendered))
        empty = empty_template(folder / "empty", rendered)
        seconds: dict[Template, list[float]] = {ours: [], empty: []}
        for _ in range(rounds + 1):
            for template, measured in seconds.items():
                measured.append(copy(template, folder / "copy"))

    # The first round is a warm-up.
    medians = {template: median(measured[1:]) for template, measured in seconds.items()}
    print(f"this template:  {medians[ours]:.3f} s, {files} files")
    print(f"empty template: {medians[empty]:.3f} s")
    measuring.conclude([medians[ours] / medians[empty]], LIMIT, max)


def empty_template(path: Path, rendered: Path) -> Template:
    """Create a template with as many files in the same folders, all empty and without questions."""
    for file in files_in(rendered):
        copy = path / "template" / file.relative_to(rendered)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch()
    (path / "copier.yml").write_text("_subdirectory: template\n", encoding="utf-8")
    git(path, "init", "--quiet", "--initial-branch=main")
    commit(path, "v1.0.0")
    return Template(path, "v1.0.0")


def copy(template: Template, destination: Path) -> float:
    """Run Copier from the command line; return the seconds."""
    settings = destination.with_name("settings.yml")
    settings.write_text("{}\n", encoding="utf-8")
    started = time.perf_counter()
    programs.run(
        *(sys.executable, "-m", "copier", "copy", "--defaults", "--quiet"),
        *(str(template.path), str(destination)),
        cwd=destination.parent,
        env=programs.environment(COPIER_SETTINGS_PATH=str(settings)),
    )
    seconds = time.perf_counter() - started
    shutil.rmtree(destination)
    return seconds


if __name__ == "__main__":
    main()
