"""The feature builder: a request becomes a folder of the v1 API, which is kept if it is proven.

    JSON or options -> Request -> FeatureFiles -> a copy of the project -> proof -> the project

`request` loads a request, `render` makes the feature's files in memory, `workspace` copies the
project and moves the feature in, `proof` runs the project's own tools, `project` knows where each
file is, and `build` carries the commands out. Only `workspace` changes the project.
"""

from petsage.errors import PetSageError

MAX_LINES = 40
"""How many lines of a tool's output are printed at most."""


class BuildError(PetSageError):
    """Nothing was built: the project is as it was. `problems` has a line for each reason."""
