# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from loader import TOOLS, TreeTest, load

tree = load("check_tree")
LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"
CHANGELOG = "# Changelog\n\nWords.\n\n## Unreleased\n\n### Added\n\n- One thing.\n"


class CheckTree(TreeTest):
    def setUp(self):
        super().setUp()
        self.write("CHANGELOG.md", CHANGELOG)

    def assert_reported(self, expected, compile_commands=None):
        found = tree.check_all(self.root, compile_commands)
        self.assertEqual(len(found), 1, found)
        self.assertIn(expected, found[0])

    def test_a_clean_tree_has_no_complaints(self):
        self.write("src/core/a.cpp", LICENCE + "int a;\n")
        self.write("README.md", "[log](CHANGELOG.md#unreleased) [out](https://example.org)\n")
        self.assertEqual(tree.check_all(self.root), [])

    def test_a_missing_licence_line_is_reported(self):
        self.write("src/core/a.cpp", "int a;\n")
        self.assert_reported("src/core/a.cpp:1: no SPDX")

    def test_a_long_file_is_reported(self):
        self.write("src/core/a.cpp", LICENCE + "\n" * 500)
        self.assert_reported("501 lines")

    def test_a_long_file_on_the_list_is_allowed_up_to_its_limit(self):
        self.write(tree.SIZE_ALLOW, "src/core/a.cpp 600 a table\n")
        self.write("src/core/a.cpp", LICENCE + "\n" * 599)
        self.assertEqual(tree.check_all(self.root), [])
        self.write("src/core/a.cpp", LICENCE + "\n" * 600)
        self.assert_reported("601 lines")

    def test_a_row_of_the_list_that_is_not_needed_is_reported(self):
        self.write("src/core/a.cpp", LICENCE)
        self.write(tree.SIZE_ALLOW, "src/core/a.cpp 600 a table\n")
        self.assert_reported("take its row out")

    def test_a_row_of_the_list_without_reason_is_reported(self):
        self.write(tree.SIZE_ALLOW, "src/core/a.cpp 600\n")
        self.assert_reported("a row is")

    def test_unfinished_work_is_reported(self):
        for word in ("TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK"):
            with self.subTest(word):
                self.write("src/core/a.cpp", LICENCE + f"\n// {word}: later\n")
                self.assert_reported("src/core/a.cpp:3: unfinished")

    def test_a_switched_off_test_is_reported(self):
        self.write("tests/core/a_test.cpp", LICENCE + "TEST(A, DISAB" "LED_b) {}\n")
        self.assert_reported("switched off")

    def test_a_sleeping_test_is_reported(self):
        for code in ("std::this_thread::sleep_for(1ms);", "usleep(1);", "sleep (1);"):
            with self.subTest(code):
                self.write("tests/net/a_test.cpp", LICENCE + code + "\n")
                self.assert_reported("a test that sleeps")

    def test_a_source_that_no_target_builds_is_reported(self):
        commands = self.write("build/compile_commands.json", json.dumps(
            [{"directory": str(self.root / "build"), "file": "../tests/core/a_test.cpp"}]))
        self.write("tests/core/a_test.cpp", LICENCE)
        self.write("tests/consumer/main.cpp", LICENCE)
        self.assertEqual(tree.check_all(self.root, commands), [])
        self.write("tests/core/b_test.cpp", LICENCE)
        self.assert_reported("tests/core/b_test.cpp:1: no target", commands)

    def test_dead_links_are_reported(self):
        for link in ("gone.md", "CHANGELOG.md#gone", "#gone", "docs/gone/"):
            with self.subTest(link):
                self.write("README.md", f"# Head\n\n[x]({link})\n")
                self.assert_reported(f"README.md:3: {link}")

    def test_links_in_code_are_not_links(self):
        self.write("README.md", "```cpp\n[x](gone.md)\n```\n`[y](gone.md)`\n")
        self.assertEqual(tree.check_all(self.root), [])

    def test_the_form_of_the_changelog(self):
        for text, expected in (
            ("# Changelog\n\n## 0.1.0 (2030-01-31)\n", "the first section"),
            (CHANGELOG.replace("Added", "Misc"), "none of"),
            (CHANGELOG + "more prose\n", "one line a behaviour"),
            (CHANGELOG + "\n## 0.1.0\n", "a release is"),
            (CHANGELOG + "\n## 0.1.0 (2030-01-31)\n\n- Without kind.\n", "under a kind"),
            ("Changes\n\n## Unreleased\n", "starts with"),
        ):
            with self.subTest(expected):
                self.write("CHANGELOG.md", text)
                self.assert_reported(expected)


class CountTests(TreeTest):
    def test_counts_what_ran_and_what_failed(self):
        report = self.write("ctest.xml", '<testsuite><testcase status="run"/><testcase status="run"/>'
                            '<testcase status="fail"/><testcase status="notrun"/></testsuite>')
        self.assertEqual(load("count_tests").count(report), (2, 1))

    def test_says_what_failed_and_the_end_of_its_output(self):
        output = "\n".join(f"line {i}" for i in range(100))
        report = self.write("ctest.xml", '<testsuite><testcase name="good" status="run"/>'
                            '<testcase name="bad" status="fail">'
                            f'<system-out>{output}\n</system-out></testcase></testsuite>')
        [text] = load("count_tests").failed(report)
        lines = text.split("\n")
        self.assertEqual(lines[0], "failed: bad")
        self.assertEqual(lines[1:], [f"line {i}" for i in range(60, 100)])


class Dev(unittest.TestCase):
    def test_every_word_of_dev_has_a_line_in_its_help(self):
        text = (TOOLS.parent / "dev").read_text()
        words = text[text.index("case $word in"):].split("\n")[1].split(")")[0].replace("|", " ").split()
        help_text = text[text.index("<<'HELP'"):text.index("\nHELP\n")]
        self.assertGreater(len(words), 10)
        for word in words:
            self.assertRegex(help_text, rf"(?m)^  {word}\b")


if __name__ == "__main__":
    unittest.main()
