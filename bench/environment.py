"""What Handoff's functions find around them in Lambda. Imported before anything of theirs, which reads it at import."""

import os
import sys

from tests.support import template

sys.path += [str(folder) for folder in sorted((template.PATH.parent / "functions").iterdir())]
for _name, _value in template.plain_variables().items():
    os.environ.setdefault(_name, _value)
