"""Set the environment that Handoff's functions have in Lambda. Import this module before any of their modules."""

import os
import sys

from dev.simulated.account import STACK_NAME
from dev.template import ROOT, shared_variables

sys.path += [str(folder) for folder in sorted((ROOT / "functions").iterdir())]
for _name, _value in shared_variables(STACK_NAME).items():
    os.environ.setdefault(_name, _value)
