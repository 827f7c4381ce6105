#include "processes.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

namespace data_parallel {
namespace {

using Gloo = c10d::ProcessGroupGloo;
using StorePointer = c10::intrusive_ptr<c10d::Store>;

std::string Environment(const char* name, const char* otherwise = nullptr) {
  const char* value = std::getenv(name);
  if (value == nullptr) value = otherwise;
  if (value == nullptr) throw std::runtime_error(std::string(name) + " is not set");
  return value;
}

// What torchrun tells each of its processes.
Group JoinTorchrun() {
  const int rank = std::stoi(Environment("RANK"));
  const int size = std::stoi(Environment("WORLD_SIZE"));
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(std::stoi(Environment("MASTER_PORT")));
  const bool agent_has_it = Environment("TORCHELASTIC_USE_AGENT_STORE", "False") == "True";
  options.isServer = rank == 0 && !agent_has_it;
  StorePointer store = c10::make_intrusive<c10d::TCPStore>(Environment("MASTER_ADDR"), options);
  auto gloo = Gloo::Options::create();
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  gloo->devices.push_back(interface == nullptr ? Gloo::createDefaultDevice()
                                               : Gloo::createDeviceForInterface(interface));
  return c10::make_intrusive<Gloo>(store, rank, size, gloo);
}

Group JoinOnThisMachine(const std::string& file, int rank, int size) {
  StorePointer store = c10::make_intrusive<c10d::FileStore>(file, size);
  auto options = Gloo::Options::create();
  options->devices.push_back(Gloo::createDeviceForHostname("127.0.0.1"));
  return c10::make_intrusive<Gloo>(store, rank, size, options);
}

// In the child. Exceptions end here: they must not unwind into what the parent does next.
[[noreturn]] void RunChild(const std::function<int(const Group&)>& work, const std::string& file,
                           int rank, int size) {
  int status = 1;
  try {
    status = work(JoinOnThisMachine(file, rank, size));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "process %d: %s\n", rank, error.what());
  }
  std::exit(status);
}

// Waits for all of them; where one fails, the others would wait for it.
int WaitForAll(const std::vector<pid_t>& children) {
  int first_failure = 0;
  for (size_t left = children.size(); left > 0; --left) {
    int status = 0;
    if (waitpid(-1, &status, 0) < 0) throw std::runtime_error("waitpid failed");
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    if (code == 0 || first_failure != 0) continue;
    first_failure = code;
    for (const pid_t child : children) kill(child, SIGTERM);
  }
  return first_failure;
}

}  // namespace

int RunProcesses(int count, const std::function<int(const Group&)>& work) {
  if (std::getenv("RANK") != nullptr) return work(JoinTorchrun());
  std::string file = (std::filesystem::temp_directory_path() / "data_parallel.XXXXXX").string();
  const int descriptor = mkstemp(file.data());
  if (descriptor < 0) throw std::runtime_error("cannot make the file '" + file + "'");
  close(descriptor);
  std::vector<pid_t> children;
  for (int rank = 0; rank < count; ++rank) {
    const pid_t child = fork();
    if (child < 0) throw std::runtime_error("cannot start a process");
    if (child == 0) RunChild(work, file, rank, count);
    children.push_back(child);
  }
  const int status = WaitForAll(children);
  std::filesystem::remove(file);
  return status;
}

}  // namespace data_parallel
