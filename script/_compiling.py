"""A pytest plugin: imports the files with tests, and so compiles them; runs nothing."""


def pytest_pycollect_makeitem():
    """Find no tests in them: a third of what collecting takes."""
    return []
