"""A few schedules of the soak, which `scripts/soak.sh` runs a hundred of."""

import small_sky
import soak


def test_a_few_random_schedules_leave_whole_catalogues(tmp_path):
    with soak.start() as stack:
        soak.soak(small_sky.deployed(stack, tmp_path), schedules=4, seed=1)
