"""Compare rendering random answers with plain renders and with parsing their output."""

import time
from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, seed, settings

import measuring
from support.rendering import Template
from support.root import Answer
from test_answers import ANSWERS, render_and_look, says_what_was_answered

LIMIT = 1.2

BATCH = 50
"""Number of consecutive renders of one kind."""


def main() -> None:
    """Alternate batches of both kinds; refused attempts are not counted."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--renders", type=int, default=1000)
    batches = max(1, parser.parse_args().renders // BATCH)

    made_up = rendering = parsing = 0.0
    renders = 0
    with measuring.template() as (template, _):
        plain(template, 1)  # fills the caches
        for number in range(batches):
            seconds = plain(template, BATCH)
            rendering += seconds[0]
            parsing += seconds[1]
            rendered, took = fuzzed(template, number)
            renders += rendered
            made_up += took

    each = made_up / renders
    rendering, parsing = rendering / (batches * BATCH), parsing / (batches * BATCH)
    print(f"random: {each:.3f} s each, {renders} of {batches * BATCH} accepted")
    print(f"plain:  {rendering:.3f} s each, plus {parsing:.3f} s to parse")
    measuring.conclude([(each - parsing) / rendering], LIMIT, max)


def plain(template: Template, renders: int) -> tuple[float, float]:
    """Render the default answers; return the seconds spent rendering and parsing."""
    rendering = parsing = 0.0
    for _ in range(renders):
        start = time.perf_counter()
        with TemporaryDirectory(prefix="plain-") as folder:
            project = template.render(Path(folder, "service"))
            parse = time.perf_counter()
            says_what_was_answered(project, {})
            parsing += time.perf_counter() - parse
        rendering += time.perf_counter() - start
    return rendering - parsing, parsing


def fuzzed(template: Template, number: int) -> tuple[int, float]:
    """Render and parse a batch of random answers, as the suite does.

    Returns:
        The number of renders, and the seconds for them, including generating all answers.
    """
    outcomes: Counter[str] = Counter()
    seconds: dict[str, float] = defaultdict(float)

    @seed(number)
    @settings(
        max_examples=BATCH,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(answers=ANSWERS)
    def make_up(answers: dict[str, Answer]) -> None:
        start = time.perf_counter()
        with TemporaryDirectory(prefix="fuzzed-") as folder:
            outcome = render_and_look(template, Path(folder, "service"), answers)
        outcomes[outcome] += 1
        seconds[outcome] += time.perf_counter() - start

    start = time.perf_counter()
    make_up()
    return outcomes["rendered"], time.perf_counter() - start - seconds["refused"]


if __name__ == "__main__":
    main()
