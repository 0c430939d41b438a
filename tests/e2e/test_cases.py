"""Whole Dockerfiles: each folder of tests/build/cases is a claim; cases.py says how one is written."""
import os
import shutil

import bases
import cases
from harness import *

made = {}


def base_of(name):
    if name not in made:
        try:
            made[name] = {"busybox": bases.busybox_base, "debian": bases.debian_base}[name]()
        except Skip as reason:
            made[name] = reason
    if isinstance(made[name], Skip):
        raise made[name]
    return made[name]


def claim_of(folder):
    def claim():
        case = cases.Case(folder, base_of)
        try:
            case.run()
        finally:
            shutil.rmtree(case.state.path, ignore_errors=True)
            shutil.rmtree(case.context, ignore_errors=True)
    return claim


def claims():
    found = {}
    for name in sorted(os.listdir(cases.CASES)):
        folder = os.path.join(cases.CASES, name)
        if os.path.exists(os.path.join(folder, "expected")):
            found["test_" + name] = claim_of(folder)
    return found


main(claims())
