"""Entry point."""

import os
import sys

from prewired.git import AS_RENDERED, environment


def main() -> None:
    """Run the command line."""
    # Copier's git would also convert line endings of the template.
    cleaned = environment(AS_RENDERED)
    for name in set(os.environ) - cleaned.keys():
        del os.environ[name]
    os.environ.update(cleaned)
    # Copier copies the environment when it is imported.
    try:
        from prewired.cli import run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
