#!/usr/bin/env python3
"""check-includes finds each kind of violation, in a tree with that violation and no other."""

import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop(1)

BANNED = '#include "fs/base/banned.h"\n'
HEADER = "/* h */\n#pragma once\n"
CLEAN = {
    "fs/base/banned.h": HEADER,
    "fs/base/error.h": HEADER,
    "fs/base/digest.c": "#include <openssl/evp.h>\n" + BANNED,
    "fs/layer.h": HEADER + '#include "fs/base/error.h"\n',
    "fs/layer_internal.h": HEADER,
    "fs/layer.c": '#include "fs/layer.h"\n#include "fs/layer_internal.h"\n' + BANNED,
    "registry/http.h": HEADER,
    "registry/http.c": '#include <curl/curl.h>\n#include "registry/http.h"\n' + BANNED,
    "builder/build.h": HEADER + '#include "fs/layer.h"\n#include "registry/http.h"\n',
    "cli/main.c": '#include "builder/build.h"\n' + BANNED,
    "tests/unit/fs/test_layer.c": '#include "fs/layer_internal.h"\n',
    "tools/dump.c": '#include "fs/layer.h"\n',
}


def violations(**changed):
    """Runs the program on CLEAN with some files replaced; file names have __ for / and _dot_."""
    with tempfile.TemporaryDirectory() as root:
        files = dict(CLEAN)
        files.update({name.replace("__", "/").replace("_dot_", "."): text
                      for name, text in changed.items()})
        for name, text in files.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        result = subprocess.run([sys.executable, PROGRAM, root], stdout=subprocess.PIPE,
                                universal_newlines=True, check=False)
        return result.returncode, result.stdout


class CheckIncludes(unittest.TestCase):
    def check_refused(self, sentence, **changed):
        self.assertEqual(violations(**changed), (1, sentence + "\n"))

    def test_a_clean_tree_passes(self):
        self.assertEqual(violations(), (0, ""))

    def test_arrows_do_not_point_back(self):
        self.check_refused("fs/layer.h:3: fs may not include 'builder/build.h'",
                           fs__layer_dot_h=HEADER + '#include "builder/build.h"\n')
        self.check_refused("fs/base/error.h:3: fs/base may not include 'fs/layer.h'",
                           fs__base__error_dot_h=HEADER + '#include "fs/layer.h"\n')
        self.check_refused("builder/build.h:3: builder may not include 'tests/x.h'",
                           builder__build_dot_h=HEADER + '#include "tests/x.h"\n',
                           tests__x_dot_h=HEADER)

    def test_fs_and_registry_do_not_see_each_other(self):
        self.check_refused("fs/layer.h:3: fs may not include 'registry/http.h'",
                           fs__layer_dot_h=HEADER + '#include "registry/http.h"\n')
        self.check_refused("registry/http.h:3: registry may not include 'fs/layer.h'",
                           registry__http_dot_h=HEADER + '#include "fs/layer.h"\n')

    def test_the_parts_of_the_builder_do_not_see_the_whole(self):
        for folder in ("builder/dockerfile", "builder/image", "builder/sandbox",
                       "builder/source", "builder/tree"):
            self.check_refused(f"{folder}/x.h:3: {folder} may not include 'builder/build.h'",
                               **{folder.replace("/", "__") + "__x_dot_h":
                                  HEADER + '#include "builder/build.h"\n'})

    def test_an_arrow_can_be_a_single_header(self):
        path, grammar = "builder__dockerfile__x_dot_h", HEADER + '#include "registry/reference.h"\n'
        self.assertEqual(violations(registry__reference_dot_h=HEADER, **{path: grammar}), (0, ""))
        self.check_refused(
            "builder/dockerfile/x.h:3: builder/dockerfile may not include 'registry/http.h'",
            **{path: HEADER + '#include "registry/http.h"\n'})

    def test_internal_headers_stay_in_their_folder(self):
        self.check_refused("builder/build.h:3: 'fs/layer_internal.h' belongs to its folder alone",
                           builder__build_dot_h=HEADER + '#include "fs/layer_internal.h"\n')

    def test_each_library_has_one_door(self):
        self.check_refused("fs/layer.c:1: <openssl/sha.h> may be included by fs/base/digest.c only",
                           fs__layer_dot_c="#include <openssl/sha.h>\n" + BANNED)
        self.check_refused(
            "fs/layer.c:1: <sqlite3.h> may be included by fs/store.c and fs/store_*.c only",
            fs__layer_dot_c="#include <sqlite3.h>\n" + BANNED)

    def test_tests_have_no_doors(self):
        self.assertEqual(violations(tests__unit__fs__test_tar_dot_c="#include <archive.h>\n"),
                         (0, ""))

    def test_a_door_may_have_several_leaves(self):
        self.assertEqual(violations(fs__store_tx_dot_c="#include <sqlite3.h>\n" + BANNED), (0, ""))

    def test_a_generated_text_needs_its_source(self):
        lines = BANNED + '#include "fs/schema.sql.inc"\n'
        self.assertEqual(violations(fs__store_dot_c=lines, fs__schema_dot_sql=""), (0, ""))
        self.check_refused("fs/store.c:2: 'fs/schema.sql.inc' is not a path from the repository root",
                           fs__store_dot_c=lines)

    def test_the_kernel_has_no_door(self):
        self.assertEqual(violations(fs__layer_dot_c="#include <linux/fuse.h>\n" + BANNED), (0, ""))

    def test_own_headers_are_named_from_the_root(self):
        self.check_refused("fs/layer.c:1: 'layer.h' is not a path from the repository root",
                           fs__layer_dot_c='#include "layer.h"\n' + BANNED)
        self.check_refused("fs/layer.c:1: <fs/layer.h> is our own; write \"fs/layer.h\"",
                           fs__layer_dot_c="#include <fs/layer.h>\n" + BANNED)

    def test_banned_comes_last(self):
        missing = "fs/layer.c: the last include is not \"fs/base/banned.h\""
        self.check_refused(missing, fs__layer_dot_c="int x;\n")
        self.check_refused(missing, fs__layer_dot_c=BANNED + '#include "fs/layer.h"\n')

    def test_a_header_is_included_once(self):
        self.check_refused("fs/layer.h: no '#pragma once'", fs__layer_dot_h="/* h */\n")


unittest.main()
