"""The feature builder: a request becomes a folder of the v1 API, which is kept if it is proven.

    request -> Request -> FeatureFiles -> a copy of the project -> proof -> the project

`request` reads what is asked for, `render` makes its files in memory, `workspace` copies the
project and moves the feature in, `proof` runs the project's own tools, `project` knows what stands
where, and `build` does what the commands ask for. Only `workspace` changes the project.
"""

from petsage.errors import PetSageError


class BuildError(PetSageError):
    """The project is left as it was; `problems` has a line for each reason."""
