"""Set the environment that Handoff's functions have in Lambda. Import this module before any of their modules."""

import os
import sys

from tests.support import template

sys.path += [str(folder) for folder in sorted((template.PATH.parent / "functions").iterdir())]
for _name, _value in template.plain_variables().items():
    os.environ.setdefault(_name, _value)
