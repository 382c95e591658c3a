# SPDX-License-Identifier: Apache-2.0
"""What the workloads of tests/bench/run share."""
