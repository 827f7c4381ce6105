#pragma once

#include <functional>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <vector>

namespace data_parallel {

using Group = c10::intrusive_ptr<c10d::ProcessGroupGloo>;
using Works = std::vector<c10::intrusive_ptr<c10d::Work>>;

// Runs `work` in several processes that form a group, and returns the first exit status that is not
// zero, or zero. Under torchrun this process is one of a group already; otherwise it starts `count`
// processes, which talk to each other through the loopback device alone. Nothing of LibTorch may
// have run before: its threads do not survive a fork.
int RunProcesses(int count, const std::function<int(const Group&)>& work);

}  // namespace data_parallel
