// SPDX-License-Identifier: Apache-2.0
#include "grid_command.h"

#include "client_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <system_error>

namespace trunkline::app {

namespace {

constexpr const char* kSecretVariable = "TRUNKLINE_GRID_SECRET";

// Nobody else's at this moment.
std::string make_name() {
  std::array<char, 128> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) {
    host[0] = '\0';
  }
  std::random_device random;
  return fmt::format("guest/{}/{}/{:08x}", host.data(), ::getpid(), random());
}

// `is_certified`: it may also be none.
Result<std::string> read_secret(const std::string& file, bool is_certified) {
  if (file.empty()) {
    const char* value = std::getenv(kSecretVariable);
    if (is_certified && value == nullptr) {
      return std::string();
    }
    if (value == nullptr || *value == '\0') {
      return fail(ErrorCode::kConfig,
                  fmt::format("the grid's secret is needed: --secret-file FILE, or {} in the "
                              "environment",
                              kSecretVariable));
    }
    return std::string(value);
  }
  std::ifstream in(file, std::ios::binary);
  std::string secret{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in.is_open() || in.bad()) {
    return fail(ErrorCode::kConfig,
                fmt::format("--secret-file: {}: {}", file, std::generic_category().message(errno)));
  }
  // What an editor puts at the end.
  secret.erase(secret.find_last_not_of("\r\n") + 1);
  return secret;
}

}  // namespace

void GridArguments::add_to(CLI::App& command) {
  command.add_option("--secret-file,-s", secret_file,
                     fmt::format("File with the grid's secret; without it the secret is in the "
                                 "environment, {}",
                                 kSecretVariable));
  command.add_option("--name", name,
                     "What to be called there, of 1 to 255 bytes; not a member's name, and not two "
                     "at once (default: guest/HOST/PROCESS/RANDOM)");
  CLI::Option* ca =
      command.add_option("--ca", tls.ca_file,
                         "For a grid under TLS: who may have signed its certificates, a PEM file");
  CLI::Option* certificate = command.add_option(
      "--cert", tls.certificate_file,
      "Certificate for nodes that ask for one, a PEM file; needs --ca and --key");
  CLI::Option* key = command.add_option("--key", tls.key_file, "Private key of --cert, a PEM file");
  certificate->needs(key)->needs(ca);
  key->needs(certificate);
}

Result<std::unique_ptr<GridNode>> GridArguments::start() const {
  Result<std::string> secret = read_secret(secret_file, !tls.certificate_file.empty());
  if (!secret.has_value()) {
    return std::unexpected(secret.error());
  }
  GridOptions options;
  options.name = name.empty() ? make_name() : name;
  options.secret = std::move(*secret);
  options.tls = tls;
  options.is_guest = true;
  options.serves_statistics = false;
  options.skew_max = std::chrono::milliseconds(0);  // the node there has its own mind of that
  options.redial_max = std::chrono::seconds(2);
  Result<std::unique_ptr<GridNode>> node = GridNode::create(std::move(options));
  if (!node.has_value()) {
    return node;
  }
  if (const Result<void> started = (*node)->start(); !started.has_value()) {
    return std::unexpected(started.error());
  }
  return node;
}

CLI::Option* add_duration(CLI::App& command, const std::string& name,
                          std::chrono::milliseconds& value, const std::string& description) {
  static const std::map<std::string, std::uint64_t> kUnits = {
      {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};
  return command
      .add_option_function<std::uint64_t>(
          name,
          [&value](std::uint64_t given) {
            value = std::chrono::milliseconds(static_cast<std::int64_t>(given));
          },
          description)
      ->transform(CLI::AsNumberWithUnit(kUnits, CLI::AsNumberWithUnit::UNIT_REQUIRED))
      ->type_name("TIME");
}

std::string describe(std::string_view peer, std::string_view handler, const GridError& error) {
  const std::string number =
      error.code == GridCode::kHandler ? fmt::format(" {}", error.application) : std::string();
  return fmt::format("{} {}: {} ({}{}){}{}", peer, handler, trunkline::name(error.code),
                     trunkline::name(error.origin), number, error.text.empty() ? "" : ": ",
                     error.text);
}

}  // namespace trunkline::app
