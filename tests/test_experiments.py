"""Every bundled experiment can be repeated: its quick form runs, and what holds of it holds."""

import pytest

from umwelt.client.cli import main
from umwelt.cluster.experiment import bundled_experiments


@pytest.mark.parametrize("name", bundled_experiments())
def test_the_quick_form_comes_out_as_expected(name, tmp_path):
    with pytest.raises(SystemExit) as left:
        main(["experiment", name, "--quick", "--to", str(tmp_path)])
    assert left.value.code == 0
    assert (tmp_path / "quick" / "verdict.md").is_file()
