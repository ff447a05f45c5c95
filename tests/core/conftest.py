"""The pure core is tested without any loop; see `tests/core/MUTANTS.md` for its mutation tests."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

# `[tool.mutmut]` asks for it by name. A mutant is either noticed or not: no time goes into a smaller example.
settings.register_profile(
    "mutation",
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],  # or a busy machine would pass for a test that noticed
)
