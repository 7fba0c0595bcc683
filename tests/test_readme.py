"""The README's example runs as it stands."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_example_runs_and_classifies_digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [example] = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    names = {}
    exec(example, names)
    assert names["search"].score(names["X_test"], names["y_test"]) > 0.85
    assert names["Z"].shape == (450, 2)
    assert (tmp_path / "digits.joblib").exists()
