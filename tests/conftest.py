"""Fixtures for all tests."""

from tests.browser import browser, page_url

__all__ = ["browser", "page_url"]
