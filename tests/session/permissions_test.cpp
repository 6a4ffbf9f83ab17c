// SPDX-License-Identifier: Apache-2.0
#include "session/permissions.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace trunkline::session {
namespace {

using Permission = bool (*)(const ChannelOptions&, const Asker&);

struct Verb {
  const char* name;
  Permission may;
  bool ChannelOptions::* client;
  bool ChannelOptions::* anonymous;
  bool ChannelOptions::* subscriber;  // nullptr: there is none
};

constexpr Verb kVerbs[] = {
    {"subscribe", may_subscribe, &ChannelOptions::allow_subscribe_for_client,
     &ChannelOptions::allow_subscribe_for_anonymous, nullptr},
    {"publish", may_publish, &ChannelOptions::allow_publish_for_client,
     &ChannelOptions::allow_publish_for_anonymous, &ChannelOptions::allow_publish_for_subscriber},
    {"presence", may_read_presence, &ChannelOptions::allow_presence_for_client,
     &ChannelOptions::allow_presence_for_anonymous, &ChannelOptions::allow_presence_for_subscriber},
    {"history", may_read_history, &ChannelOptions::allow_history_for_client,
     &ChannelOptions::allow_history_for_anonymous, &ChannelOptions::allow_history_for_subscriber},
};

// All 64 situations, spelled out by who gets in and not by the formula.
TEST(Permissions, FollowTheMatrixForEveryVerb) {
  for (const Verb& verb : kVerbs) {
    for (unsigned bits = 0; bits < 64; ++bits) {
      const bool for_client = (bits & 1U) != 0;
      const bool for_anonymous = (bits & 2U) != 0;
      const bool for_subscriber = (bits & 4U) != 0 && verb.subscriber != nullptr;
      ChannelOptions options;
      options.*verb.client = for_client;
      options.*verb.anonymous = for_anonymous;
      if (verb.subscriber != nullptr) {
        options.*verb.subscriber = for_subscriber;
      }
      const Asker asker{.anonymous = (bits & 8U) != 0,
                        .subscribed = (bits & 16U) != 0,
                        .insecure = (bits & 32U) != 0};
      bool expected = false;
      if (asker.insecure) {
        expected = true;
      } else if (for_subscriber && asker.subscribed) {
        expected = true;
      } else if (asker.anonymous) {
        expected = for_client && for_anonymous;
      } else {
        expected = for_client;
      }
      EXPECT_EQ(verb.may(options, asker), expected) << verb.name << " " << bits;
    }
  }
}

TEST(Permissions, OneVerbsOptionsOpenNoOther) {
  for (const Verb& granted : kVerbs) {
    ChannelOptions options;
    options.*granted.client = true;
    options.*granted.anonymous = true;
    for (const Verb& asked : kVerbs) {
      EXPECT_EQ(asked.may(options, Asker{}), asked.may == granted.may) << asked.name;
    }
  }
}

TEST(Permissions, TheNamespaceIsWhatStandsBeforeTheFirstBoundary) {
  ChannelRules rules;
  rules.namespaces["a"].history_size = 1;

  struct Case {
    const char* channel;
    const ChannelOptions* options;
  };

  const ChannelOptions* a = &rules.namespaces["a"];
  const ChannelOptions* none = &rules.without_namespace;
  const Case cases[] = {{"a:x", a},      {"$a:x", a},      {"a:", a},          {"a:b:c", a},
                        {"a", none},     {"$a", none},     {"", none},         {"$", none},
                        {":x", nullptr}, {"b:x", nullptr}, {"$$a:x", nullptr}, {"A:x", nullptr}};
  for (const Case& one : cases) {
    EXPECT_EQ(find_options(rules, one.channel), one.options) << one.channel;
  }
}

TEST(Permissions, WithoutABoundaryThereAreNoNamespaces) {
  ChannelRules rules;
  rules.namespace_boundary.clear();
  EXPECT_EQ(find_options(rules, "a:x"), &rules.without_namespace);
}

TEST(Permissions, ALongBoundaryCounts) {
  ChannelRules rules;
  rules.namespace_boundary = "::";
  rules.namespaces["a"] = {};
  EXPECT_EQ(find_options(rules, "a::x"), &rules.namespaces["a"]);
  EXPECT_EQ(find_options(rules, "a:x"), &rules.without_namespace);
}

TEST(Permissions, WithoutAPrivatePrefixNothingIsPrivate) {
  ChannelRules rules;
  EXPECT_TRUE(is_private(rules, "$a"));
  EXPECT_FALSE(is_private(rules, "a$"));
  rules.private_prefix.clear();
  EXPECT_FALSE(is_private(rules, "$a"));
  EXPECT_FALSE(is_private(rules, ""));
}

TEST(Permissions, AUserLimitedChannelNamesItsUsers) {
  ChannelRules rules;
  ChannelOptions options;
  options.allow_user_limited_channels = true;

  struct Case {
    const char* channel;
    const char* user;
    UserLimit expected;
  };

  const Case cases[] = {{"a", "u", UserLimit::kNone},          {"a#u", "u", UserLimit::kIncluded},
                        {"a#u", "v", UserLimit::kExcluded},    {"a#u,v", "v", UserLimit::kIncluded},
                        {"a#v,u", "v", UserLimit::kIncluded},  {"a#uv", "u", UserLimit::kExcluded},
                        {"a#u", "uv", UserLimit::kExcluded},   {"a#", "u", UserLimit::kExcluded},
                        {"a#", "", UserLimit::kExcluded},      {"a#,", "", UserLimit::kExcluded},
                        {"a#u", "", UserLimit::kExcluded},     {"a#,u", "u", UserLimit::kIncluded},
                        {"a#u,", "u", UserLimit::kIncluded},   {"a#x#u", "u", UserLimit::kExcluded},
                        {"a#u,v", "u,v", UserLimit::kExcluded}};
  for (const Case& one : cases) {
    EXPECT_EQ(user_limit(rules, options, one.channel, one.user), one.expected)
        << one.channel << " for '" << one.user << "'";
  }
  options.allow_user_limited_channels = false;
  EXPECT_EQ(user_limit(rules, options, "a#u", "v"), UserLimit::kNone);
}

// An empty separator was found everywhere and led nowhere: the search did not end.
TEST(Permissions, WithoutASeparatorAChannelNamesOneUser) {
  ChannelRules rules;
  rules.user_separator.clear();
  ChannelOptions options;
  options.allow_user_limited_channels = true;
  EXPECT_EQ(user_limit(rules, options, "a#u,v", "u,v"), UserLimit::kIncluded);
  EXPECT_EQ(user_limit(rules, options, "a#u,v", "u"), UserLimit::kExcluded);
}

TEST(Permissions, ChannelNamesAreVisibleAscii) {
  const ChannelRules rules;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string name = {'a', static_cast<char>(byte)};
    EXPECT_EQ(is_valid_channel(rules, name), byte >= 0x20 && byte <= 0x7e) << byte;
  }
}

TEST(Permissions, AChannelWithoutSizeOrTimeHasNoHistory) {
  const ChannelRules rules;
  ChannelOptions options;
  options.history_size = 5;
  EXPECT_FALSE(channel_settings(rules, options).has_history());
  options.history_ttl = std::chrono::seconds(1);
  EXPECT_TRUE(channel_settings(rules, options).has_history());
  EXPECT_EQ(channel_settings(rules, options).meta_ttl, rules.history_meta_ttl);
  options.history_meta_ttl = std::chrono::hours(1);
  EXPECT_EQ(channel_settings(rules, options).meta_ttl, std::chrono::hours(1));
  options.history_size = 0;
  EXPECT_FALSE(channel_settings(rules, options).has_history());
}

}  // namespace
}  // namespace trunkline::session
