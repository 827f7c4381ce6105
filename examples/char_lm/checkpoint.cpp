#include "checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

namespace char_lm {
namespace {

constexpr int64_t kFormat = 1;

// Returns only after the file's or directory's contents are on the disk.
void Flush(const std::filesystem::path& path) {
  const int file = open(path.c_str(), O_RDONLY);
  const bool flushed = file >= 0 && fsync(file) == 0;
  const int error = errno;
  if (file >= 0) close(file);
  if (!flushed) {
    throw std::runtime_error("cannot flush '" + path.string() + "': " + std::strerror(error));
  }
}

torch::serialize::InputArchive Open(const std::filesystem::path& output) {
  const std::filesystem::path path = CheckpointPath(output);
  if (!std::filesystem::exists(path)) {
    throw std::runtime_error("there is no checkpoint '" + path.string() + "' to resume from");
  }
  torch::serialize::InputArchive archive;
  archive.load_from(path.string());
  c10::IValue format;
  archive.read("format", format);
  if (format.toInt() != kFormat) {
    throw std::runtime_error("'" + path.string() + "' has format " +
                             std::to_string(format.toInt()) + ", expected " +
                             std::to_string(kFormat));
  }
  return archive;
}

}  // namespace

std::filesystem::path CheckpointPath(const std::filesystem::path& output) {
  return output / "checkpoint.pt";
}

void SaveCheckpoint(const Options& options, const Text& text, const Trainer& elman,
                    const Trainer& detach_loop) {
  torch::serialize::OutputArchive archive;
  archive.write("format", kFormat);
  archive.write("fingerprint", static_cast<int64_t>(text.fingerprint));
  archive.write("updates", options.updates);
  archive.write("block", options.block);
  for (const auto& [name, value] : ToPairs(options.settings)) archive.write(name, value);
  const auto part = [&](const char* name, const Trainer& trainer) {
    torch::serialize::OutputArchive sub(archive.compilation_unit());
    trainer.Save(sub);
    archive.write(name, sub);
  };
  part("elman", elman);
  part("detach_loop", detach_loop);

  const std::filesystem::path path = CheckpointPath(options.output);
  const std::filesystem::path temporary = path.string() + ".tmp";
  archive.save_to(temporary.string());
  Flush(temporary);
  std::filesystem::rename(temporary, path);
  Flush(options.output);
}

Options LoadOptions(const std::filesystem::path& output) {
  torch::serialize::InputArchive archive = Open(output);
  Options options;
  auto pairs = ToPairs(options.settings);
  c10::IValue stored;
  for (auto& [name, value] : pairs) {
    archive.read(name, stored);
    value = stored.toStringRef();
  }
  options.settings = FromPairs(pairs);
  archive.read("updates", stored);
  options.updates = stored.toInt();
  archive.read("block", stored);
  options.block = stored.toInt();
  return options;
}

void LoadCheckpoint(const std::filesystem::path& output, const Text& text, Trainer& elman,
                    Trainer& detach_loop) {
  torch::serialize::InputArchive archive = Open(output);
  c10::IValue fingerprint;
  archive.read("fingerprint", fingerprint);
  if (static_cast<uint64_t>(fingerprint.toInt()) != text.fingerprint) {
    throw std::runtime_error("the checkpoint was made with another text than '" + text.path + "'");
  }
  const auto part = [&](const char* name, Trainer& trainer) {
    torch::serialize::InputArchive sub;
    archive.read(name, sub);
    trainer.Load(sub);
  };
  part("elman", elman);
  part("detach_loop", detach_loop);
}

}  // namespace char_lm
