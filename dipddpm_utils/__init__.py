"""Does a Deep Image Prior make a diffusion model faster or better? The question, measured."""

import os as _os
import sys as _sys

# The checkout comes last on the path, and `python -m` looks nowhere else: a user's random.py or copy.py beside the package, or
# where the command is given, must not be taken for the standard library's.
_checkout = _os.path.dirname(_os.path.dirname(_os.path.abspath(__file__)))
if _os.path.exists(_os.path.join(_checkout, "run_all.sh")):
    _not_first = [_checkout, _os.getcwd()] if _sys.argv[:1] == ["-m"] else [_checkout]
    _sys.path[:] = [place for place in _sys.path if _os.path.abspath(place) not in _not_first] + [_checkout]
