"""The servers that the hub is put beside, each written as its own documents show it.

All do the same work on the same texts: what begins with SUBSCRIBE makes its sender a viewer and is answered with a
snapshot, REACT is counted in a dictionary and acknowledged, PUBLISH goes to all viewers as it is, and anything else
comes back. They keep nothing on a disk, check no identity, limit nothing and conflate nothing.
"""

from __future__ import annotations

from typing import Final

SUBSCRIBE: Final = '{"op":"subscribe"'
REACT: Final = '{"op":"react"'
PUBLISH: Final = '{"ev":"counts"'
SNAPSHOT: Final = '{"ev":"snapshot","ref":1,"items":[{"item":"bench:hot","v":0,"counts":{}}]}'
