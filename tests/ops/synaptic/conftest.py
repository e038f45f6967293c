"""As the tests of the aggregation: deterministic mode fills uninitialised memory with NaN, so a missed write shows."""

from __future__ import annotations

from tests.ops.conftest import poisoned_memory as poisoned_memory
