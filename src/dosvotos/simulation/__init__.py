"""The parts of the sample market: its calibration, its prices, its macro variables."""
