# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from loader import TreeTest, load

rooms = load("check_rooms")


class CheckRooms(TreeTest):
    def complaints(self, path, text):
        self.write("src/CMakeLists.txt", "")
        self.write(path, text)
        return rooms.check_tree(self.root)

    def assert_reported(self, path, text, expected):
        found = self.complaints(path, text)
        self.assertEqual(len(found), 1, found)
        self.assertIn(expected, found[0])

    def assert_clean(self, path, text):
        self.assertEqual(self.complaints(path, text), [])

    def test_a_room_that_includes_a_room_outside_its_row_is_reported_with_its_line(self):
        self.assert_reported("src/hub/a.cpp", '#include "core/x.h"\n\n#include "session/s.h"\n',
                             "src/hub/a.cpp:3: hub/ may not include session/")

    def test_no_lower_room_includes_net(self):
        for room in rooms.BELOW_NET:
            self.write(f"src/{room}/a.cpp", '#include "net/loop.h"\n')
        self.write("src/CMakeLists.txt", "")
        self.assertEqual(len(rooms.check_tree(self.root)), len(rooms.BELOW_NET))

    def test_a_room_may_include_itself_its_row_and_the_standard_library(self):
        self.assert_clean("src/hub/a.cpp",
                          '#include "hub/a.h"\n#include "replay/log.h"\n#include <vector>\n'
                          "#include <trunkline/error.h>\n")

    def test_server_may_include_every_room(self):
        self.assert_clean("src/server/a.cpp", "".join(f'#include "{r}/x.h"\n' for r in rooms.ROOMS))

    def test_headers_of_the_world_are_banned_below_net(self):
        for header in ("thread", "mutex", "condition_variable", "sys/socket.h", "netinet/in.h",
                       "unistd.h", "boost/asio.hpp", "boost/beast/http.hpp", "iostream"):
            with self.subTest(header):
                self.assert_reported("src/ws/a.cpp", f"#include <{header}>\n", "belongs to net/")

    def test_code_of_the_world_is_banned_below_net(self):
        for code in ("auto t = std::chrono::steady_clock::now();", "usleep(3);",
                     "std::this_thread::sleep_for(1s);", "std::random_device seed;",
                     'std::cout << "x";', 'std::cerr << "x";', 'getenv("HOME");', "throw 1;"):
            with self.subTest(code):
                self.assert_reported("src/session/a.h", code + "\n", "only net/ and above may")

    def test_net_may_see_the_world(self):
        self.assert_clean("src/net/a.cpp",
                          "#include <thread>\n#include <boost/asio.hpp>\nauto t = Clock::now();\n")

    def test_comments_and_literals_are_not_code(self):
        self.assert_clean("src/core/a.cpp",
                          '// steady_clock::now() and #include "net/x.h"\n'
                          '/* #include <thread>\n   throw */\n'
                          'const char* text = "getenv( // \\" throw";\nauto raw = R"(throw ")";\n'
                          "int million = 1'000'000;  // sleep(\n")

    def test_code_after_a_digit_separator_is_still_seen(self):
        self.assert_reported("src/core/a.cpp", "int a = 1'000; throw a; int b = 1'000;\n", "throws")

    def test_a_third_party_header_that_the_room_may_not_use_is_reported(self):
        self.assert_reported("src/hub/a.cpp", "#include <simdjson.h>\n", "third-party header")
        self.assert_clean("src/hub/a.cpp", "#include <fmt/format.h>\n")

    def test_a_public_face_is_not_for_lower_rooms(self):
        self.assert_reported("src/hub/a.cpp", "#include <trunkline/server.h>\n", "face of net/")

    def test_a_private_header_is_included_with_its_room(self):
        self.assert_reported("src/hub/a.cpp", '#include "channel.h"\n', 'write "room/file.h"')

    def test_public_headers_include_the_standard_library_and_each_other_only(self):
        self.write("src/CMakeLists.txt", "")
        for line in ("#include <boost/asio.hpp>", '#include "core/x.h"', "#include <openssl/ssl.h>"):
            with self.subTest(line):
                self.assert_reported("include/trunkline/a.h", line + "\n", "public headers")
        self.assert_clean("include/trunkline/a.h",
                          "#include <string>\n#include <trunkline/error.h>\n")

    def test_an_adapter_includes_the_library_that_it_is_for(self):
        self.write("src/CMakeLists.txt", "")
        self.assert_reported("include/trunkline/grid_msgpack.h", "#include <zlib.h>\n", "public headers")
        self.assert_clean("include/trunkline/grid_msgpack.h", "#include <msgpack.hpp>\n")
        self.assert_reported("include/trunkline/a.h", "#include <msgpack.hpp>\n", "public headers")

    def test_programs_see_the_server_and_public_headers(self):
        self.write("src/CMakeLists.txt", "")
        self.assert_reported("apps/trunkline/a.cpp", '#include "hub/hub.h"\n', "private to its room")
        self.assert_clean("apps/trunkline/a.cpp", '#include "server/server.h"\n#include "cmd.h"\n')
        self.assert_reported("examples/a.cpp", '#include "server/server.h"\n', "private to its room")

    def test_an_unknown_folder_in_src_is_reported(self):
        self.assert_reported("src/utils/a.cpp", "", "no such room")

    def test_cmake_may_not_link_more_than_the_row_allows(self):
        self.write("src/CMakeLists.txt", "trunkline_room(core)\ntrunkline_room(hub ROOMS core\n"
                                         "  session LIBRARIES net::net)\n")
        self.assertEqual(rooms.check_tree(self.root),
                         ["src/CMakeLists.txt:2: hub/ may not link session/"])

    def test_the_table_has_no_cycle(self):
        for room, lower in rooms.ROOMS.items():
            for other in lower:
                self.assertNotIn(room, rooms.ROOMS[other])


if __name__ == "__main__":
    unittest.main()
