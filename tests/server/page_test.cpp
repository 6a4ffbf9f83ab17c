// SPDX-License-Identifier: Apache-2.0
//
// A program's own pages, asked for over loopback as a browser does.
#include "server/page.h"

#include <trunkline/server.h>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline {
namespace {

// The whole answer to a GET, head and body.
std::string get(std::uint16_t port, const std::string& path) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const std::string request =
      "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(::send(socket, request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  std::string answer;
  std::array<char, 4096> part{};
  for (ssize_t size = 0; (size = ::recv(socket, part.data(), part.size(), 0)) > 0;) {
    answer.append(part.data(), static_cast<std::size_t>(size));
  }
  ::close(socket);
  return answer;
}

Result<std::unique_ptr<Server>> server_with(std::vector<Page> pages) {
  ServerOptions options;
  options.port = 0;
  options.shards = 1;
  options.pages = std::move(pages);
  return Server::create(std::move(options));
}

TEST(Pages, OfAProgramAreServedBesideAndInsteadOfTheServersOwn) {
  auto server = server_with({{"/", "text/html; charset=utf-8", "<p>mine</p>"},
                             {"/mine.js", "text/javascript; charset=utf-8", ""}});
  ASSERT_TRUE(server.has_value()) << to_string(server.error());
  ASSERT_TRUE((*server)->start().has_value());
  const std::uint16_t port = (*server)->port();
  const std::string root = get(port, "/");
  EXPECT_TRUE(root.starts_with("HTTP/1.1 200 ")) << root;
  EXPECT_TRUE(root.ends_with("\r\n\r\n<p>mine</p>")) << root;
  EXPECT_TRUE(root.contains("text/html; charset=utf-8")) << root;
  EXPECT_TRUE(root.contains("default-src 'self'"))
      << "the rules of the server's own page: " << root;
  EXPECT_TRUE(get(port, "/?a=1").ends_with("<p>mine</p>"));
  const std::string empty = get(port, "/mine.js");
  EXPECT_TRUE(empty.starts_with("HTTP/1.1 200 ")) << empty;
  EXPECT_TRUE(empty.ends_with("\r\n\r\n")) << empty;
  EXPECT_TRUE(get(port, "/style.css").starts_with("HTTP/1.1 200 ")) << "the server's own";
  EXPECT_TRUE(get(port, "/health").ends_with("{}"));
  EXPECT_TRUE(get(port, "/nothing").starts_with("HTTP/1.1 404 "));
}

TEST(Pages, ThatNobodyCouldReachAreRefused) {
  for (const std::string path : {"", "mine.js", "/a?b", "/a#b", "/api", "/api/publish", "/health",
                                 "/metrics", "/connection/websocket"}) {
    const auto refused = server_with({{path, "text/plain", "x"}});
    ASSERT_FALSE(refused.has_value()) << path;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(refused.error().context.contains("'" + path + "'")) << refused.error().context;
  }
  EXPECT_FALSE(server_with({{"/a", "text/plain", "x"}, {"/a", "text/plain", "y"}}).has_value());
  EXPECT_TRUE(server_with({{"/apiary", "text/plain", "x"}}).has_value());
}

}  // namespace
}  // namespace trunkline
