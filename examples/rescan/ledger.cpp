// SPDX-License-Identifier: Apache-2.0
#include "rescan/ledger.h"

#include <sqlite3.h>

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <utility>

namespace rescan {

namespace {

constexpr std::int64_t kAmountMax = 1000;

// The finalizer of splitmix64: spreads a number over all bits. Not cryptography.
std::uint64_t mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111eb;
  return value ^ (value >> 31U);
}

std::uint64_t fold(std::uint64_t hash, const Transaction& transaction) {
  for (const std::int64_t part : {transaction.sender, transaction.receiver, transaction.amount}) {
    hash = mix(hash ^ static_cast<std::uint64_t>(part));
  }
  return hash;
}

std::int64_t one_of(std::uint64_t random, std::int64_t count) {
  return 1 + static_cast<std::int64_t>(random % static_cast<std::uint64_t>(count));
}

// What happens in a block is made up, the same for every ledger.
std::vector<Transaction> invent(std::int64_t height) {
  std::vector<Transaction> transactions;
  std::uint64_t random = mix(static_cast<std::uint64_t>(height));
  for (std::int64_t i = 0; i < kTransactionsPerBlock; ++i) {
    Transaction& made = transactions.emplace_back();
    made.sender = one_of(random = mix(random), kAccounts);
    made.receiver = one_of(random = mix(random), kAccounts);
    made.amount = one_of(random = mix(random), kAmountMax);
  }
  return transactions;
}

Block successor(const Block& block, const std::vector<Transaction>& transactions) {
  Block next{.height = block.height + 1, .hash = block.hash, .previous = block.hash};
  for (const Transaction& transaction : transactions) {
    next.hash = fold(next.hash, transaction);
  }
  return next;
}

void require(bool good, sqlite3* database) {
  if (!good) {
    throw std::runtime_error(std::string("SQLite: ") + sqlite3_errmsg(database));
  }
}

constexpr const char* kTip = "SELECT height, hash FROM blocks ORDER BY height DESC LIMIT 1";

Block tip_of(Statement& statement) {
  statement.begin({});
  Block block;
  if (statement.next()) {
    block.height = statement.column(0);
    block.hash = std::bit_cast<std::uint64_t>(statement.column(1));
  }
  statement.end();
  return block;
}

}  // namespace

void Database::Close::operator()(sqlite3* database) const {
  sqlite3_close(database);
}

Database::Database(const std::string& file) {
  sqlite3* opened = nullptr;
  const int status = sqlite3_open(file.c_str(), &opened);
  database_.reset(opened);
  require(status == SQLITE_OK, opened);
  // Only the short moments count in which the WAL is begun or copied back.
  sqlite3_busy_timeout(opened, 10'000);
}

void Database::run(const char* sql) {
  require(sqlite3_exec(get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK, get());
}

void Statement::Finish::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Statement::Statement(const Database& database, const char* sql) {
  sqlite3_stmt* prepared = nullptr;
  require(sqlite3_prepare_v2(database.get(), sql, -1, &prepared, nullptr) == SQLITE_OK,
          database.get());
  statement_.reset(prepared);
}

void Statement::begin(std::initializer_list<std::int64_t> values) {
  sqlite3_reset(statement_.get());
  int index = 0;
  for (const std::int64_t value : values) {
    require(sqlite3_bind_int64(statement_.get(), ++index, value) == SQLITE_OK,
            sqlite3_db_handle(statement_.get()));
  }
}

bool Statement::next() {
  const int status = sqlite3_step(statement_.get());
  if (status == SQLITE_ROW) {
    return true;
  }
  require(status == SQLITE_DONE, sqlite3_db_handle(statement_.get()));
  end();
  return false;
}

void Statement::end() {
  sqlite3_reset(statement_.get());
}

std::int64_t Statement::column(int index) const {
  return sqlite3_column_int64(statement_.get(), index);
}

void Statement::run(std::initializer_list<std::int64_t> values) {
  begin(values);
  next();
}

Ledger::Ledger(std::string file, std::int64_t records) : file_(std::move(file)), writer_(file_) {
  writer_.run(
      "CREATE TABLE IF NOT EXISTS blocks (height INTEGER PRIMARY KEY, hash INTEGER NOT NULL);"
      // Without an index by account: that is what makes a rescan long.
      "CREATE TABLE IF NOT EXISTS transactions (id INTEGER PRIMARY KEY, sender INTEGER NOT NULL,"
      " receiver INTEGER NOT NULL, amount INTEGER NOT NULL);"
      "CREATE TABLE IF NOT EXISTS accounts (account INTEGER PRIMARY KEY, balance INTEGER NOT "
      "NULL)");
  add_transaction_ = std::make_unique<Statement>(
      writer_, "INSERT INTO transactions (sender, receiver, amount) VALUES (?, ?, ?)");
  add_hash_ = std::make_unique<Statement>(writer_, "INSERT INTO blocks VALUES (?, ?)");
  add_balance_ =
      std::make_unique<Statement>(writer_,
                                  "INSERT INTO accounts VALUES (?1, ?2)"
                                  " ON CONFLICT (account) DO UPDATE SET balance = balance + ?2");
  Statement tip(writer_, kTip);
  newest_ = tip_of(tip);
  if (newest_.height == 0) {
    create(records);
  }
  writer_.run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  reader_ = std::make_unique<Database>(file_);
  // One statement is one moment of the database: balance and height belong together.
  ask_account_ = std::make_unique<Statement>(
      *reader_,
      "SELECT (SELECT balance FROM accounts WHERE account = ?), (SELECT max(height) FROM blocks)");
  ask_tip_ = std::make_unique<Statement>(*reader_, kTip);
}

// One transaction: a million records in a second or so, all or none of them.
void Ledger::create(std::int64_t records) {
  writer_.run("BEGIN");
  std::vector<std::int64_t> balances(kAccounts + 1);
  for (std::int64_t written = 0; written < std::max(records, std::int64_t{1});
       written += kTransactionsPerBlock) {
    const std::vector<Transaction> transactions = invent(newest_.height + 1);
    newest_ = successor(newest_, transactions);
    insert(newest_, transactions);
    for (const auto& [sender, receiver, amount] : transactions) {
      balances[static_cast<std::size_t>(sender)] -= amount;
      balances[static_cast<std::size_t>(receiver)] += amount;
    }
  }
  for (std::int64_t account = 1; account <= kAccounts; ++account) {
    add_balance_->run({account, balances[static_cast<std::size_t>(account)]});
  }
  writer_.run("COMMIT");
}

void Ledger::insert(const Block& block, const std::vector<Transaction>& transactions) {
  for (const auto& [sender, receiver, amount] : transactions) {
    add_transaction_->run({sender, receiver, amount});
  }
  add_hash_->run({block.height, std::bit_cast<std::int64_t>(block.hash)});
}

Block Ledger::add_block() {
  const std::vector<Transaction> transactions = invent(newest_.height + 1);
  const Block block = successor(newest_, transactions);
  writer_.run("BEGIN IMMEDIATE");
  insert(block, transactions);
  for (const auto& [sender, receiver, amount] : transactions) {
    add_balance_->run({sender, -amount});
    add_balance_->run({receiver, amount});
  }
  writer_.run("COMMIT");
  newest_ = block;
  return block;
}

Ledger::Account Ledger::account(std::int64_t number) {
  const std::lock_guard lock(reading_);
  ask_account_->begin({number});
  Account account;
  if (ask_account_->next()) {
    account = {ask_account_->column(0), ask_account_->column(1)};
  }
  ask_account_->end();
  return account;
}

Block Ledger::tip() {
  const std::lock_guard lock(reading_);
  return tip_of(*ask_tip_);
}

Found Ledger::recount(std::int64_t account, std::int64_t up_to_height) const {
  const Database database(file_);
  Statement statement(database,
                      "SELECT count(*), sum(amount * ((receiver = ?1) - (sender = ?1)))"
                      " FROM transactions WHERE id <= ?2 AND (sender = ?1 OR receiver = ?1)");
  statement.begin({account, up_to_height * kTransactionsPerBlock});
  statement.next();
  return {statement.column(0), statement.column(1)};
}

Scan::Scan(const std::string& file, std::int64_t account, std::int64_t from)
    : database_(file),
      hash_(database_, "SELECT hash FROM blocks WHERE height = ?"),
      transactions_(database_,
                    "SELECT sender, receiver, amount FROM transactions"
                    " WHERE id > ?1 AND id <= ?2 ORDER BY id"),
      account_(account) {
  Statement tip(database_, kTip);
  of_ = tip_of(tip).height;
  block_.height = std::clamp(from, std::int64_t{1}, of_ + 1) - 1;
  block_.hash = hash_of(block_.height);
}

std::uint64_t Scan::hash_of(std::int64_t height) {
  hash_.begin({height});
  // Before the first block there is none.
  const std::uint64_t hash = hash_.next() ? std::bit_cast<std::uint64_t>(hash_.column(0)) : 0;
  hash_.end();
  return hash;
}

bool Scan::next() {
  if (block_.height >= of_) {
    return false;
  }
  const std::int64_t last = (block_.height + 1) * kTransactionsPerBlock;
  std::uint64_t hash = block_.hash;
  transactions_.begin({last - kTransactionsPerBlock, last});
  while (transactions_.next()) {
    const Transaction transaction{transactions_.column(0), transactions_.column(1),
                                  transactions_.column(2)};
    hash = fold(hash, transaction);
    if (transaction.sender == account_ || transaction.receiver == account_) {
      ++found_.transactions;
      found_.balance += transaction.receiver == account_ ? transaction.amount : 0;
      found_.balance -= transaction.sender == account_ ? transaction.amount : 0;
    }
  }
  block_ = {.height = block_.height + 1, .hash = hash, .previous = block_.hash};
  if (hash_of(block_.height) != hash) {
    throw std::runtime_error("block " + std::to_string(block_.height) + " does not fit the chain");
  }
  return true;
}

}  // namespace rescan
