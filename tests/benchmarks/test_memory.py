"""Memory does not grow with what is uploaded."""

from tests.benchmarks.memory import measure


def test_large_files_are_streamed() -> None:
    peak_mib, _ = measure(files=6, size_mib=64)
    assert peak_mib < 100
