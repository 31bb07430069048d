"""The command `wattq`; imports every room, imported by none.

The rooms have flat names, and the package index has others' packages of the same names. So before any room
is imported, this package checks that the ones that Python would import are ours.
"""

from cli.ours import check_rooms

check_rooms()
