// The exchange between the blocks of a group (csrc/cuda/persistent/exchange.h) as a model of a few
// blocks and steps, of which every interleaving is looked at. A block is one thread here: barriers
// within a block are the emulator's subject. Writes to other blocks come at any later time, in any
// order; a flag comes behind what its release covers. Planted faults show that each part of the
// protocol is needed, and that this test would see it missing.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

enum class Protocol { kFlags, kBarriers };
enum class Fault {
  kNone,
  kNoFence,        ///< a flag may come before what it stands for
  kOneSlot,        ///< one slot for vectors in place of two
  kOneBarrier,     ///< one barrier for both slots
  kSilentBlock,    ///< block 0 publishes nothing after its first vector
  kPublishesLast,  ///< the vectors after the last step are handed on, too
  kOneFlagTooFew,  ///< a block waits for the flag of the step before
};

constexpr int kMostBlocks = 3;

struct Message {
  int from, to;
  int slot, version;  ///< of data; version 0 of a flag
  int flag;           ///< its value, or 0
  auto key() const { return std::vector<int>{from, to, slot, version, flag}; }
};

struct Barrier {
  int bytes = 0, arrived = 0, phase = 0;
  void try_to_end() {
    if (arrived == 0 || bytes != 0) return;
    arrived = 0;
    phase ^= 1;
  }
};

struct Block {
  int at = 0;    ///< which operation comes next, see Model::advance
  int step = 0;  ///< of the recurrence
  bool ended = false;
  int vectors[2][kMostBlocks] = {};  ///< slot, owner: which vector it holds, counted from 1
  int flags[kMostBlocks] = {};
  Barrier barriers[2];
};

struct State {
  std::vector<Block> blocks;
  std::vector<Message> messages;

  std::vector<int> key() const {
    std::vector<int> all;
    for (const Block& b : blocks) {
      all.insert(all.end(), {b.at, b.step, b.ended});
      for (const auto& slot : b.vectors) all.insert(all.end(), slot, slot + kMostBlocks);
      all.insert(all.end(), b.flags, b.flags + kMostBlocks);
      for (const Barrier& barrier : b.barriers)
        all.insert(all.end(), {barrier.bytes, barrier.arrived, barrier.phase});
    }
    std::vector<std::vector<int>> sent;
    for (const Message& message : messages) sent.push_back(message.key());
    std::sort(sent.begin(), sent.end());
    for (const auto& one : sent) all.insert(all.end(), one.begin(), one.end());
    return all;
  }
};

/// Looks at every state that the blocks can come into.
class Model {
 public:
  Model(Protocol protocol, int blocks, int steps, Fault fault)
      : protocol_(protocol), count_(blocks), steps_(steps), fault_(fault) {}

  /// What is wrong, or "".
  std::string explore() {
    State first;
    first.blocks.resize(count_);
    std::vector<State> open{first};
    std::set<std::vector<int>> seen{first.key()};
    while (!open.empty() && error_.empty()) {
      const State state = std::move(open.back());
      open.pop_back();
      const std::vector<State> next = successors(state);
      const bool all_ended = std::all_of(state.blocks.begin(), state.blocks.end(),
                                         [](const Block& b) { return b.ended; });
      if (next.empty() && !all_ended && error_.empty()) error_ = "deadlock";
      for (const State& s : next) {
        if (seen.insert(s.key()).second) open.push_back(s);
      }
    }
    states_ = seen.size();
    return error_;
  }
  std::size_t states() const { return states_; }

 private:
  int slot(int vector) const { return fault_ == Fault::kOneSlot ? 0 : vector % 2; }
  int barrier(int vector) const { return fault_ == Fault::kOneBarrier ? 0 : vector % 2; }

  std::vector<State> successors(const State& state) {
    std::vector<State> result;
    for (int i = 0; i < count_; ++i) {
      if (state.blocks[i].ended || !can_advance(state, i)) continue;
      result.push_back(state);
      advance(result.back(), i);
    }
    for (std::size_t i = 0; i < state.messages.size(); ++i) {
      if (!can_come(state, state.messages[i])) continue;
      result.push_back(state);
      deliver(result.back(), i);
    }
    return result;
  }

  /// A flag is stored by a release: it comes behind all that its block has written before. And
  /// stores to the same place are seen in their order.
  bool can_come(const State& state, const Message& message) const {
    if (message.flag == 0) return true;
    return std::none_of(state.messages.begin(), state.messages.end(), [&](const Message& other) {
      if (other.from != message.from) return false;
      if (other.flag == 0) return fault_ != Fault::kNoFence && other.version <= message.flag;
      return other.to == message.to && other.flag < message.flag;
    });
  }

  void deliver(State& state, std::size_t i) {
    const Message message = state.messages[i];
    state.messages.erase(state.messages.begin() + i);
    Block& to = state.blocks[message.to];
    if (to.ended) error_ = "a message to a block that has ended";
    if (message.flag != 0) {
      to.flags[message.from] = std::max(to.flags[message.from], message.flag);
      return;
    }
    to.vectors[message.slot][message.from] = message.version;
    if (protocol_ == Protocol::kBarriers) {
      Barrier& at = to.barriers[barrier(message.version - 1)];
      at.bytes -= 1;
      at.try_to_end();
    }
  }

  // A block's operations for vector v (0, 1 ...), which it publishes and then receives:
  //   0            stores its own part, arms its barrier
  //   1 .. n       sends to block at - 1
  //   n + 1 .. 2n  sends its flag to block at - n - 1
  //   2n + 1       waits
  //   2n + 2 ..    reads the part of block at - 2n - 2
  // It ends with the last step. (The barrier of the cluster at the end is left out: nothing here
  // needs it.)
  bool can_advance(const State& state, int i) const {
    const Block& block = state.blocks[i];
    if (block.at != 2 * count_ + 1) return true;
    if (protocol_ == Protocol::kBarriers) {
      const int passed = fault_ == Fault::kOneBarrier ? block.step : block.step / 2;
      return block.barriers[barrier(block.step)].phase != passed % 2;
    }
    for (int j = 0; j < count_; ++j) {
      const int wanted = block.step + (fault_ == Fault::kOneFlagTooFew ? 0 : 1);
      if (j != i && block.flags[j] < wanted) return false;
    }
    return true;
  }

  void advance(State& state, int i) {
    Block& block = state.blocks[i];
    const int vector = block.step, at = block.at++;
    const bool silent = fault_ == Fault::kSilentBlock && i == 0 && vector > 0;
    if (at == 0) {
      block.vectors[slot(vector)][i] = vector + 1;
      if (protocol_ == Protocol::kBarriers && vector < steps_) {
        Barrier& own = block.barriers[barrier(vector)];
        own.bytes += count_ - 1;
        own.arrived = 1;
        own.try_to_end();
      }
    } else if (at <= count_) {
      if (at - 1 != i && !silent)
        state.messages.push_back({i, at - 1, slot(vector), vector + 1, 0});
    } else if (at <= 2 * count_) {
      const int to = at - count_ - 1;
      if (protocol_ == Protocol::kFlags && to != i && !silent)
        state.messages.push_back({i, to, 0, 0, vector + 1});
      if (to + 1 == count_ && vector == steps_) block.ended = true;
    } else if (at > 2 * count_ + 1) {
      const int from = at - 2 * count_ - 2;
      if (block.vectors[slot(vector)][from] != vector + 1) error_ = "a wrong vector is read";
      if (from + 1 == count_) {
        block.step += 1;
        block.at = 0;
        block.ended = block.step == steps_ && fault_ != Fault::kPublishesLast;
      }
    }
  }

  const Protocol protocol_;
  const int count_, steps_;
  const Fault fault_;
  std::string error_;
  std::size_t states_ = 0;
};

std::string explore(Protocol protocol, int blocks, int steps, Fault fault) {
  return Model(protocol, blocks, steps, fault).explore();
}

TEST(ExchangeModelTest, EveryInterleavingReadsTheRightVectors) {
  for (const Protocol protocol : {Protocol::kFlags, Protocol::kBarriers}) {
    for (const auto& [blocks, steps] : {std::pair{2, 5}, {3, 3}}) {
      Model model(protocol, blocks, steps, Fault::kNone);
      EXPECT_EQ(model.explore(), "") << static_cast<int>(protocol) << " " << blocks;
      EXPECT_GT(model.states(), 200u);
    }
  }
}

TEST(ExchangeModelTest, APlantedFaultIsFound) {
  const std::string wrong = "a wrong vector is read";
  EXPECT_EQ(explore(Protocol::kFlags, 2, 3, Fault::kNoFence), wrong);
  EXPECT_EQ(explore(Protocol::kFlags, 2, 3, Fault::kOneSlot), wrong);
  EXPECT_EQ(explore(Protocol::kFlags, 2, 3, Fault::kOneFlagTooFew), wrong);
  EXPECT_EQ(explore(Protocol::kBarriers, 2, 3, Fault::kOneSlot), wrong);
  EXPECT_EQ(explore(Protocol::kFlags, 2, 3, Fault::kSilentBlock), "deadlock");
  EXPECT_EQ(explore(Protocol::kBarriers, 2, 3, Fault::kSilentBlock), "deadlock");
  EXPECT_EQ(explore(Protocol::kBarriers, 2, 2, Fault::kPublishesLast),
            "a message to a block that has ended");
  // With two blocks one barrier would do: a quick block cannot be two vectors ahead of itself.
  EXPECT_NE(explore(Protocol::kBarriers, 3, 3, Fault::kOneBarrier), "");
}

}  // namespace
