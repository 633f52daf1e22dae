"""The feature builder: a request becomes a folder of the v1 API that is proven before it is kept.

    request -> Request -> Plan -> tree -> proof -> kept, or the tree as before

`request` loads what is asked for, `plan` renders it in memory, `tree` writes it all or nothing,
`proof` runs it, `project` tells what is there, and `build` adds and removes by them. Up to the
tree everything is frozen data, and `tree` alone changes files.
"""

from petsage.errors import PetSageError


class BuildError(PetSageError):
    """It is not built; `problems` has a line for each reason."""
