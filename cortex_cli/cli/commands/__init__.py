"""One module per verb, named like the verb.

A module holds a function of that name, or for a group of verbs a mapping `VERBS` from name to function.
In: checked arguments. Out: what `emit` prints. A verb never talks to git, disk or a model by itself.
The catalogue imports a module only when its verb runs, so heavy packages are imported in function bodies.
"""
