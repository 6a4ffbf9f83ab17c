// SPDX-License-Identifier: Apache-2.0
#include "ws/deflate_offer.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace trunkline::ws {

namespace {

constexpr std::string_view kName = "permessage-deflate";

struct Parameter {
  std::string_view name;
  std::optional<std::string> value;
};

struct Extension {
  std::string_view name;
  std::vector<Parameter> parameters;
};

std::unexpected<Error> refuse(std::string what) {
  return fail(ErrorCode::kHandshakeRefused, std::move(what));
}

// RFC 9110, section 5.6.2.
bool is_token_character(char letter) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return (letter >= '0' && letter <= '9') || (letter >= 'A' && letter <= 'Z') ||
         (letter >= 'a' && letter <= 'z') || kOthers.find(letter) != std::string_view::npos;
}

// Reads the list of RFC 6455, section 9.1. Like every list of HTTP it may have empty elements, and
// space around its separators, but not be empty.
class ExtensionList {
 public:
  explicit ExtensionList(std::string_view text) : text_(text) {}

  Result<std::vector<Extension>> read() {
    std::vector<Extension> found;
    while (skip_space(), !text_.empty()) {
      if (take(',')) {
        continue;
      }
      std::optional<Extension> extension = read_extension();
      if (!extension || (!text_.empty() && !take(','))) {
        return refuse("Sec-WebSocket-Extensions breaks the grammar of RFC 6455, section 9.1");
      }
      found.push_back(std::move(*extension));
    }
    if (found.empty()) {
      return refuse("Sec-WebSocket-Extensions names no extension");
    }
    return found;
  }

 private:
  void skip_space() { text_.remove_prefix(std::min(text_.find_first_not_of(" \t"), text_.size())); }

  bool take(char wanted) {
    if (!text_.starts_with(wanted)) {
      return false;
    }
    text_.remove_prefix(1);
    return true;
  }

  // Empty: there is none.
  std::string_view read_token() {
    const auto end = std::ranges::find_if_not(text_, is_token_character);
    const std::string_view token = text_.substr(0, static_cast<std::size_t>(end - text_.begin()));
    text_.remove_prefix(token.size());
    return token;
  }

  // What stands in the quotes must be a token as well once it is unescaped. Empty: it is not.
  std::string read_quoted() {
    std::string value;
    while (!text_.empty() && !text_.starts_with('"')) {
      take('\\');
      if (text_.empty() || !is_token_character(text_.front())) {
        return {};
      }
      value += text_.front();
      text_.remove_prefix(1);
    }
    return take('"') ? value : std::string{};
  }

  std::optional<Parameter> read_parameter() {
    skip_space();
    Parameter parameter{.name = read_token(), .value = {}};
    if (parameter.name.empty()) {
      return std::nullopt;
    }
    skip_space();
    if (take('=')) {
      skip_space();
      parameter.value = take('"') ? read_quoted() : std::string(read_token());
      if (parameter.value->empty()) {
        return std::nullopt;
      }
    }
    return parameter;
  }

  // Leaves the text at the separator behind it.
  std::optional<Extension> read_extension() {
    Extension extension{.name = read_token(), .parameters = {}};
    if (extension.name.empty()) {
      return std::nullopt;
    }
    while (skip_space(), take(';')) {
      std::optional<Parameter> parameter = read_parameter();
      if (!parameter) {
        return std::nullopt;
      }
      extension.parameters.push_back(std::move(*parameter));
    }
    return extension;
  }

  std::string_view text_;
};

// The parameters of an offer or an answer as they stand there.
struct Stated {
  bool server_no_context_takeover = false;
  bool client_no_context_takeover = false;
  bool client_max_window_bits_named = false;  // with or without a value
  std::optional<std::uint8_t> server_max_window_bits;
  std::optional<std::uint8_t> client_max_window_bits;
};

// A decimal number from 8 to 15 without leading zeros (section 7.1.2).
std::optional<std::uint8_t> window_bits(std::string_view value) {
  if (value.size() == 1 && (value[0] == '8' || value[0] == '9')) {
    return static_cast<std::uint8_t>(value[0] - '0');
  }
  if (value.size() == 2 && value[0] == '1' && value[1] >= '0' && value[1] <= '5') {
    return static_cast<std::uint8_t>(10 + (value[1] - '0'));
  }
  return std::nullopt;
}

bool take_flag(const Parameter& parameter, bool& flag) {
  const bool good = !flag && !parameter.value;
  flag = true;
  return good;
}

bool take_bits(const Parameter& parameter, std::optional<std::uint8_t>& bits) {
  if (bits || !parameter.value) {
    return false;
  }
  bits = window_bits(*parameter.value);
  return bits.has_value();
}

enum class Message : std::uint8_t { kOffer, kAnswer };

// False: unknown, repeated or ill-valued.
bool take_parameter(const Parameter& parameter, Message message, Stated& stated) {
  if (parameter.name == "server_no_context_takeover") {
    return take_flag(parameter, stated.server_no_context_takeover);
  }
  if (parameter.name == "client_no_context_takeover") {
    return take_flag(parameter, stated.client_no_context_takeover);
  }
  if (parameter.name == "server_max_window_bits") {
    return take_bits(parameter, stated.server_max_window_bits);
  }
  if (parameter.name == "client_max_window_bits" && !stated.client_max_window_bits_named) {
    stated.client_max_window_bits_named = true;
    // Only an offer may leave the value out (section 7.1.2.2).
    return (message == Message::kOffer && !parameter.value) ||
           take_bits(parameter, stated.client_max_window_bits);
  }
  return false;
}

std::optional<Stated> read_parameters(const Extension& extension, Message message) {
  Stated stated;
  for (const Parameter& parameter : extension.parameters) {
    if (!take_parameter(parameter, message, stated)) {
      return std::nullopt;
    }
  }
  return stated;
}

DeflateParameters in_range(DeflateParameters options) {
  for (std::uint8_t* bits : {&options.server_max_window_bits, &options.client_max_window_bits}) {
    *bits = std::clamp(*bits, kWindowBitsMin, kWindowBitsMax);
  }
  return options;
}

// What both can hold to, or nothing.
std::optional<DeflateParameters> narrow(const Stated& offer, const DeflateParameters& options) {
  DeflateParameters agreed = options;
  agreed.server_no_context_takeover |= offer.server_no_context_takeover;
  // In an offer this is a hint (section 7.1.1.2); saying it back makes it binding, so that nothing
  // has to be kept for the client's messages.
  agreed.client_no_context_takeover |= offer.client_no_context_takeover;
  agreed.server_max_window_bits = std::min(options.server_max_window_bits,
                                           offer.server_max_window_bits.value_or(kWindowBitsMax));
  if (offer.client_max_window_bits_named) {
    agreed.client_max_window_bits = std::min(options.client_max_window_bits,
                                             offer.client_max_window_bits.value_or(kWindowBitsMax));
  } else {
    // The answer must not name it, so the client may use the largest window (section 7.1.2.2).
    // That matters only where we would have to keep the window.
    if (options.client_max_window_bits < kWindowBitsMax && !agreed.client_no_context_takeover) {
      return std::nullopt;
    }
    agreed.client_max_window_bits = kWindowBitsMax;
  }
  return agreed;
}

std::string parameter_text(const DeflateParameters& parameters) {
  std::string text(kName);
  if (parameters.server_no_context_takeover) {
    text += "; server_no_context_takeover";
  }
  if (parameters.client_no_context_takeover) {
    text += "; client_no_context_takeover";
  }
  if (parameters.server_max_window_bits < kWindowBitsMax) {
    text += fmt::format("; server_max_window_bits={}", parameters.server_max_window_bits);
  }
  if (parameters.client_max_window_bits < kWindowBitsMax) {
    text += fmt::format("; client_max_window_bits={}", parameters.client_max_window_bits);
  }
  return text;
}

}  // namespace

Result<std::optional<DeflateAgreement>> accept_deflate(std::string_view extensions,
                                                       const DeflateParameters& options) {
  if (extensions.empty()) {
    return std::nullopt;
  }
  const Result<std::vector<Extension>> list = ExtensionList(extensions).read();
  if (!list.has_value()) {
    return std::unexpected(list.error());
  }
  for (const Extension& extension : *list) {
    if (extension.name != kName) {
      continue;
    }
    const std::optional<Stated> offer = read_parameters(extension, Message::kOffer);
    const std::optional<DeflateParameters> agreed =
        offer ? narrow(*offer, in_range(options)) : std::nullopt;
    if (!agreed) {
      continue;
    }
    DeflateAgreement agreement{.parameters = *agreed, .answer = parameter_text(*agreed)};
    // An offer of 15 is accepted by saying it, too (section 7.1.2.1).
    if (offer->server_max_window_bits && agreed->server_max_window_bits == kWindowBitsMax) {
      agreement.answer += fmt::format("; server_max_window_bits={}", kWindowBitsMax);
    }
    return agreement;
  }
  return std::nullopt;
}

std::string offer_deflate(const DeflateParameters& options) {
  const DeflateParameters wanted = in_range(options);
  std::string offer = parameter_text(wanted);
  if (wanted.client_max_window_bits == kWindowBitsMax) {
    offer += "; client_max_window_bits";
  }
  return offer;
}

Result<std::optional<DeflateParameters>> check_deflate_answer(std::string_view extensions,
                                                              const DeflateParameters& options) {
  if (extensions.empty()) {
    return std::nullopt;
  }
  const Result<std::vector<Extension>> list = ExtensionList(extensions).read();
  if (!list.has_value()) {
    return std::unexpected(list.error());
  }
  if (list->size() != 1 || list->front().name != kName) {
    return refuse("the server chose an extension that was not offered");
  }
  const std::optional<Stated> answer = read_parameters(list->front(), Message::kAnswer);
  if (!answer) {
    return refuse("the server's permessage-deflate has a parameter that is unknown or ill-valued");
  }
  DeflateParameters agreed = in_range(options);
  if (agreed.server_no_context_takeover && !answer->server_no_context_takeover) {
    return refuse("the server did not accept server_no_context_takeover");
  }
  if (answer->server_max_window_bits.value_or(kWindowBitsMax) > agreed.server_max_window_bits) {
    return refuse("the server did not accept server_max_window_bits");
  }
  if (answer->client_max_window_bits.value_or(kWindowBitsMin) > agreed.client_max_window_bits) {
    return refuse("the server's client_max_window_bits is larger than the one offered");
  }
  agreed.server_no_context_takeover = answer->server_no_context_takeover;
  agreed.client_no_context_takeover |= answer->client_no_context_takeover;
  agreed.server_max_window_bits = answer->server_max_window_bits.value_or(kWindowBitsMax);
  // Where the server does not care, we use no more than we wanted.
  agreed.client_max_window_bits =
      answer->client_max_window_bits.value_or(agreed.client_max_window_bits);
  return agreed;
}

}  // namespace trunkline::ws
