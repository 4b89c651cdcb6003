"""Fixtures for all tests."""

import pytest

from tests.browser import browser, page_url

__all__ = ["browser", "page_url"]


@pytest.fixture(scope="session", autouse=True)
def no_own_datasets(tmp_path_factory: pytest.TempPathFactory):
    """Whoever runs the tests may have data sets of their own, which no test is to see."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INKLING_DATASETS", str(tmp_path_factory.mktemp("datasets")))
        yield
