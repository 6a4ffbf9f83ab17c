// SPDX-License-Identifier: Apache-2.0
//
// A ledger in SQLite, as a chain: blocks of transactions between accounts, each block with a hash
// over its transactions and the block before it. Blocks are added and never changed, so whoever
// reads up to a height needs no lock and no long read transaction. Functions throw
// std::runtime_error with SQLite's words.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace rescan {

inline constexpr std::int64_t kAccounts = 1000;  // they are numbered from 1
// Always so many, and numbered through: block h has the transactions up to h times this.
inline constexpr std::int64_t kTransactionsPerBlock = 100;

struct Block {
  std::int64_t height = 0;  // from 1
  std::uint64_t hash = 0;
  std::uint64_t previous = 0;
};

struct Transaction {
  std::int64_t sender = 0;
  std::int64_t receiver = 0;
  std::int64_t amount = 0;
};

// One connection. Thread: one at a time.
class Database {
 public:
  explicit Database(const std::string& file);

  void run(const char* sql);

  [[nodiscard]] sqlite3* get() const { return database_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };

  std::unique_ptr<sqlite3, Close> database_;
};

// Integers in, rows of integers out: all that a ledger needs.
class Statement {
 public:
  // The database must outlive it.
  Statement(const Database& database, const char* sql);

  // Begins it anew with these values.
  void begin(std::initializer_list<std::int64_t> values);
  // The next row; false: there is none.
  bool next();
  [[nodiscard]] std::int64_t column(int index) const;
  // To be called where next() is not called to its end: a statement in the middle of its rows holds
  // a read transaction, which keeps the WAL from being used again from its beginning.
  void end();

  // For what has no rows.
  void run(std::initializer_list<std::int64_t> values);

 private:
  struct Finish {
    void operator()(sqlite3_stmt* statement) const;
  };

  std::unique_ptr<sqlite3_stmt, Finish> statement_;
};

// What a rescan of one account has found.
struct Found {
  std::int64_t transactions = 0;
  std::int64_t balance = 0;
};

class Ledger {
 public:
  // Goes on with the ledger in the file, or begins one there with at least so many transactions.
  Ledger(std::string file, std::int64_t records);

  [[nodiscard]] const std::string& file() const { return file_; }

  // Thread: one at a time.
  Block add_block();

  struct Account {
    std::int64_t balance = 0;
    std::int64_t height = 0;  // at which it is that
  };

  // From a table that is kept up to date: a matter of microseconds. Thread: any.
  [[nodiscard]] Account account(std::int64_t number);
  // Thread: any.
  [[nodiscard]] Block tip();

  // What a rescan must find, in one plain query. Thread: any.
  [[nodiscard]] Found recount(std::int64_t account, std::int64_t up_to_height) const;

 private:
  void create(std::int64_t records);
  void insert(const Block& block, const std::vector<Transaction>& transactions);

  const std::string file_;
  Database writer_;
  std::unique_ptr<Statement> add_transaction_;
  std::unique_ptr<Statement> add_hash_;
  std::unique_ptr<Statement> add_balance_;
  Block newest_;  // the writer's
  std::mutex reading_;
  std::unique_ptr<Database> reader_;        // with reading_
  std::unique_ptr<Statement> ask_account_;  // with reading_
  std::unique_ptr<Statement> ask_tip_;      // with reading_
};

// Reads every record from a height to where the chain ended when it began, block by block, on a
// connection of its own: in WAL mode it neither waits for the writer nor lets it wait. Thread: one
// at a time.
class Scan {
 public:
  Scan(const std::string& file, std::int64_t account, std::int64_t from);

  // Reads one block; false: there is none left. Throws when the block does not fit the chain.
  bool next();

  [[nodiscard]] std::int64_t height() const { return block_.height; }  // that has been read

  [[nodiscard]] std::int64_t of() const { return of_; }

  [[nodiscard]] const Found& found() const { return found_; }

 private:
  std::uint64_t hash_of(std::int64_t height);

  Database database_;
  Statement hash_;
  Statement transactions_;
  std::int64_t account_;
  std::int64_t of_ = 0;
  Block block_;
  Found found_;
};

}  // namespace rescan
