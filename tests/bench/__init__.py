"""The benchmark: the hub beside other push servers (`python -m bench`), and how its cost grows (`-m bench.growth`)."""
