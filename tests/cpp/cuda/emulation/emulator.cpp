#include "cuda/emulation/emulator.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "cuda/emulation/fiber.h"

namespace elman::emulation {
namespace {

constexpr int kGuardBytes = 64;
constexpr unsigned char kPoison = 0xff;

struct Thread {
  Fiber fiber;
  int thread, block;
  bool done = false;
  const char* waits_for = "";
};

/// Threads that wait for each other.
struct Barrier {
  int expected = 0;
  std::vector<Thread*> waiting;
};

struct Delayed {
  int from, to;  // blocks
  std::function<void()> effect;
};

struct Warp {
  Barrier barrier;
  const char* operation = nullptr;
  std::uint64_t generation = 0;
  WarpWords words[2];  // by turns: a slow lane still reads the last results
};

class Machine;
Machine* machine = nullptr;

class Machine {
 public:
  Machine(const Launch& launch, const std::function<void()>& kernel, FiberStacks& stacks)
      : launch_(launch),
        kernel_(kernel),
        random_(launch.seed),
        patience_(launch.seed % 2 == 0 ? 4 : 64) {
    const int blocks = launch.blocks, warps = launch.threads / 32;
    if (launch.threads % 32 != 0 || blocks % launch.cluster != 0)
      throw std::invalid_argument("blocks consist of whole warps, grids of whole clusters");
    shared_.assign(blocks, std::vector<unsigned char>(launch.shared_bytes + kGuardBytes, kPoison));
    ended_.assign(blocks, 0);
    block_barriers_.resize(blocks);
    for (Barrier& barrier : block_barriers_) barrier.expected = launch.threads;
    cluster_barriers_.resize(blocks / launch.cluster);
    for (Barrier& barrier : cluster_barriers_) barrier.expected = launch.threads * launch.cluster;
    warps_.resize(static_cast<std::size_t>(blocks) * warps);
    for (Warp& warp : warps_) warp.barrier.expected = 32;
    for (int i = 0; i < blocks * launch.threads; ++i) {
      Thread& thread = threads_.emplace_back();
      thread.block = i / launch.threads;
      thread.thread = i % launch.threads;
      thread.fiber.prepare(stacks.get(i), &Machine::enter);
      ready_.push_back(&thread);
    }
  }

  Outcome run() {
    std::size_t left = threads_.size();
    while (left > 0 && outcome_.error.empty()) {
      if (!delayed_.empty() && (ready_.empty() || random_() % patience_ == 0)) deliver();
      if (ready_.empty() && !delayed_.empty()) continue;
      if (ready_.empty()) {
        report_deadlock();
        break;
      }
      const std::size_t pick = random_() % ready_.size();
      current_ = ready_[pick];
      ready_[pick] = ready_.back();
      ready_.pop_back();
      ++outcome_.switches;
      switch_fiber(scheduler_, current_->fiber);
      if (current_->done) {
        --left;
        ++ended_[current_->block];
      }
    }
    while (!delayed_.empty() && outcome_.error.empty()) deliver();
    check_guards();
    return outcome_;
  }

  const Thread& current() const { return *current_; }
  const Launch& launch() const { return launch_; }
  unsigned char* shared(int block) { return shared_[block].data(); }

  void give_way() {
    ready_.push_back(current_);
    leave();
  }
  void later(int from, int to, std::function<void()> effect) {
    delayed_.push_back({from, to, std::move(effect)});
  }
  void flush() {
    const auto own = [&](const Delayed& delayed) { return delayed.from == current_->block; };
    for (const Delayed& delayed : delayed_) {
      if (own(delayed)) delayed.effect();
    }
    delayed_.erase(std::remove_if(delayed_.begin(), delayed_.end(), own), delayed_.end());
  }
  void wait_at(Barrier& barrier, const char* name) {
    current_->waits_for = name;
    barrier.waiting.push_back(current_);
    if (static_cast<int>(barrier.waiting.size()) == barrier.expected) {
      ready_.insert(ready_.end(), barrier.waiting.begin(), barrier.waiting.end());
      barrier.waiting.clear();
    }
    leave();
  }
  void fail(const std::string& error) {
    outcome_.error = error;
    leave();  // for good
  }
  void wait_for_block() { wait_at(block_barriers_[current_->block], "the block's barrier"); }
  void wait_for_cluster() {
    wait_at(cluster_barriers_[current_->block / launch_.cluster], "the cluster's barrier");
  }

  void collective(const char* name, std::uint32_t* words, int count,
                  void (*compute)(WarpWords&, int), int argument) {
    Warp& warp = warps_[current_->block * (launch_.threads / 32) + current_->thread / 32];
    const int lane = current_->thread % 32;
    if (warp.barrier.waiting.empty()) {
      warp.operation = name;
      ++warp.generation;
    } else if (std::strcmp(warp.operation, name) != 0) {
      fail(std::string("the lanes of a warp met different operations: ") + warp.operation +
           " and " + name);
    }
    WarpWords& slots = warp.words[warp.generation % 2];
    if (count > 0) std::memcpy(slots[lane], words, count * sizeof(std::uint32_t));
    if (warp.barrier.waiting.size() == 31) compute(slots, argument);
    wait_at(warp.barrier, name);
    if (count > 0) std::memcpy(words, slots[lane], count * sizeof(std::uint32_t));
  }

 private:
  static void enter() {
    Fiber::entered();
    machine->kernel_();
    machine->current_->done = true;
    machine->leave();
  }

  void leave() { switch_fiber(current_->fiber, scheduler_); }

  /// One of the delayed effects.
  void deliver() {
    const std::size_t pick = random_() % delayed_.size();
    std::swap(delayed_[pick], delayed_.back());
    const Delayed delayed = std::move(delayed_.back());
    delayed_.pop_back();
    if (delayed.to != delayed.from && ended_[delayed.to] == launch_.threads) {
      outcome_.error = "something was on its way to a block that has ended";
      return;
    }
    delayed.effect();
  }

  void report_deadlock() {
    outcome_.error = "no thread can go on:";
    int named = 0;
    for (const Thread& thread : threads_) {
      if (thread.done || ++named > 4) continue;
      outcome_.error += " block " + std::to_string(thread.block) + " thread " +
                        std::to_string(thread.thread) + " waits for " + thread.waits_for + ";";
    }
    outcome_.error += " " + std::to_string(named) + " in all";
  }

  void check_guards() {
    for (const std::vector<unsigned char>& memory : shared_) {
      for (int i = 0; i < kGuardBytes; ++i) {
        if (memory[launch_.shared_bytes + i] != kPoison)
          outcome_.error = "a write behind the shared memory";
      }
    }
  }

  const Launch& launch_;
  const std::function<void()>& kernel_;
  std::mt19937 random_;
  std::deque<Thread> threads_;
  std::vector<Thread*> ready_;
  std::vector<Delayed> delayed_;
  const unsigned patience_;  // switches between two deliveries, about
  std::vector<int> ended_;   // threads of each block
  std::vector<std::vector<unsigned char>> shared_;
  std::vector<Barrier> block_barriers_, cluster_barriers_;
  std::vector<Warp> warps_;
  Fiber scheduler_;
  Thread* current_ = nullptr;
  Outcome outcome_;
};

}  // namespace

Outcome launch(const Launch& launch, const std::function<void()>& kernel) {
  static FiberStacks stacks;
  Machine emulated(launch, kernel, stacks);
  machine = &emulated;
  const Outcome outcome = emulated.run();
  machine = nullptr;
  return outcome;
}

int thread_index() { return machine->current().thread; }
int block_index() { return machine->current().block; }
unsigned char* shared_memory(int block) { return machine->shared(block); }
int cluster_size() { return machine->launch().cluster; }
void block_barrier() { machine->wait_for_block(); }
void cluster_barrier() { machine->wait_for_cluster(); }
void give_way() { machine->give_way(); }
void later(int from, int to, std::function<void()> effect) {
  machine->later(from, to, std::move(effect));
}
void flush() { machine->flush(); }
void fail(const std::string& error) { machine->fail(error); }
void warp_collective(const char* name, std::uint32_t* words, int count,
                     void (*compute)(WarpWords& words, int argument), int argument) {
  machine->collective(name, words, count, compute, argument);
}

}  // namespace elman::emulation
