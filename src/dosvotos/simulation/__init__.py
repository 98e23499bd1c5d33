"""The sample market USD/COP.SIM: a simulated market, defects to inject, and how like the real one it is.

`market` simulates bars and macro values from `prices`, `macro` and `draws`, by the statistics in
`calibration`; `oracle` trades its planted drift; `hazards` injects defects. `statistics` measures any market
and `likeness` compares the simulated with the real one.
"""
