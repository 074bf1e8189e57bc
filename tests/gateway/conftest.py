"""What tests of replication need as well as those of `tests.continuity`."""

from tests.continuity.conftest import store as store
