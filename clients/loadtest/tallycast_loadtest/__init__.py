"""Drives any hub by its protocol, tells what viewers feel, and proves that no count is wrong: `tallycast load`."""
