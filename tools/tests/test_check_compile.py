# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import json
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from loader import TOOLS, TreeTest, load


class CheckCompile(TreeTest):
    def setUp(self):
        super().setUp()
        self.module = load("check_compile")
        self.write("src/core/a.h", '#include "core/b.h"\n')
        self.write("src/core/b.h", "int b;\n")
        self.source = self.write("src/core/a.cpp", '#include "core/a.h"\n')

    def digest(self, *more):
        return self.module.Tree(self.root).digest(self.source, *more)

    def test_a_file_is_looked_at_again_when_a_header_that_it_reaches_changes(self):
        before = self.digest()
        self.assertEqual(self.digest(), before)
        self.write("src/core/b.h", "int c;\n")
        self.assertNotEqual(self.digest(), before)

    def test_a_file_is_looked_at_again_when_its_command_changes(self):
        self.assertNotEqual(self.digest("-O1"), self.digest("-O2"))

    def test_the_flags_of_a_command_leave_its_files_out(self):
        entry = {"file": "/t/a.cpp", "command":
                 "/usr/bin/ccache /usr/bin/g++ -Isrc -DX=1 -std=c++23 -o a.o -c /t/a.cpp"}
        self.assertEqual(self.module.flags_of(entry), ["-Isrc", "-DX=1", "-std=c++23"])

    def check(self, kind):
        """(number of bad files, what was printed) with clang on this tree."""
        shutil.copy(TOOLS.parent / ".clang-tidy", self.root)
        self.write("build/compile_commands.json", json.dumps(
            [{"directory": str(self.root), "file": str(self.source),
              "command": f"clang++-19 -std=c++23 -I{self.root}/src -c {self.source}"}]))
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            bad = self.module.check(kind, self.root, self.root / "build")
        return bad, output.getvalue()

    def test_a_header_that_does_not_compile_alone_is_reported(self):
        self.write("src/core/b.h", "#pragma once\nstd::size_t b();\n")
        self.write("src/core/a.h", "\n#pragma once\n")
        bad, text = self.check("headers")
        self.assertEqual(bad, 1)
        self.assertIn("src/core/b.h:", text)

    def test_a_header_that_its_source_includes_first_is_left_to_the_builds(self):
        self.write("src/core/b.h", "#pragma once\n")
        self.write("src/core/a.h", "// A\n#pragma once\nstd::size_t a();\n")
        self.assertEqual(self.check("headers")[0], 0)
        self.source.write_text('#include "core/b.h"\n#include "core/a.h"\n')
        self.assertEqual(self.check("headers")[0], 1)

    def test_a_header_without_include_guard_is_reported(self):
        self.write("src/core/a.h", "struct A {};\n")
        self.write("src/core/b.h", "#pragma once\n")
        self.assertIn("redefinition", self.check("headers")[1])

    def test_a_public_header_that_needs_a_private_one_is_reported(self):
        self.write("src/core/a.h", "#pragma once\n")
        self.write("src/core/b.h", "#pragma once\n")
        self.write("include/trunkline/p.h", '#pragma once\n#include "core/a.h"\n')
        self.assertEqual(self.check("headers")[0], 1)

    def test_a_finding_of_clang_tidy_is_reported_and_a_pass_is_remembered(self):
        self.source.write_text("int BadName() { return 1; }\n")
        bad, text = self.check("tidy")
        self.assertEqual(bad, 1)
        self.assertIn("readability-identifier-naming", text)
        self.source.write_text("int good_name() { return 1; }\n")
        self.assertIn("0 known to pass, 0 bad", self.check("tidy")[1])
        self.assertIn("1 known to pass, 0 bad", self.check("tidy")[1])


if __name__ == "__main__":
    unittest.main()
