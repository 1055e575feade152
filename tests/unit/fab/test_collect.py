from collections.abc import Callable
from itertools import product

import pytest
from pathspec import GitIgnoreSpec

from flwr.fab.collect import is_bundled_type, is_never_bundled, is_test

# What upstream's command is told, in the language of .gitignore (contract §13).
INCLUDED = ["**/*.py", "**/*.toml", "**/*.md", "**/*.yaml", "**/*.yml", "**/*.json", "**/*.jsonl"]
INCLUDED += ["/LICENSE", "/LICENSE.md"]
TESTS = ["**/*_test.py", "**/test_*.py"]
EXCLUDED = [".flwr/**", "**/__pycache__/**", ".info/**", "build/**", "eggs/**", ".eggs/**"]
EXCLUDED += ["lib/**", "lib64/**", "parts/**", "*.egg", ".venv/**", "env/**", "venv/**", "ENV/**"]
EXCLUDED += ["env.bak/**", "venv.bak/**"]
WORDS = ["a", "LICENSE", "LICENSE.md", "x.py", "test_.py", "test_a.py", "_test.py", "b_test.py"]
WORDS += [".py", ".egg", "q.egg", "__pycache__", "lib", "lib64", "build", "env", ".flwr", ".info"]
WORDS += ["data.json", "env.bak", "test_x", "a.PY", "x.py.bak", ".json"]


@pytest.mark.parametrize(
    ("patterns", "is_meant"),
    [(INCLUDED, is_bundled_type), (TESTS, is_test), (EXCLUDED, is_never_bundled)],
)
def test_the_files_of_an_app_are_those_that_the_contracts_patterns_mean(
    patterns: list[str], is_meant: Callable[[str], bool]
) -> None:
    paths = {
        "/".join(words) for depth in (1, 2, 3) for words in product(WORDS[::depth], repeat=depth)
    }
    assert {path for path in paths if is_meant(path)} == set(
        GitIgnoreSpec.from_lines(patterns).match_files(paths)
    )
