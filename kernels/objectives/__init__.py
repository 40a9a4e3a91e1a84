"""What a run can train, one file an objective: its arrays, its checks, and its mathematics in float64.

Each is a frozen value that `contract.Job` carries (contract.Objective). What a backend does for an objective is in the
backend's own folder `objectives`, under the same file name; nothing there uses the mathematics here.
"""
