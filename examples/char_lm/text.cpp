#include "text.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randint.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace char_lm {
namespace {

namespace fs = std::filesystem;

std::string ReadFile(const std::string& path) {
  if (fs::is_directory(path)) throw std::runtime_error("'" + path + "' is a directory");
  std::ifstream file(path, std::ios::binary);
  std::string contents((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) throw std::runtime_error("cannot read the text '" + path + "'");
  if (contents.empty()) throw std::runtime_error("the text '" + path + "' is empty");
  return contents;
}

// FNV-1a.
uint64_t Fingerprint(const std::string& contents) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : contents) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  return hash;
}

// Library folders of the Pythons that PATH leads to, and of the usual places.
std::vector<fs::path> LibraryFolders() {
  std::vector<fs::path> folders;
  if (const char* path = std::getenv("PATH")) {
    std::istringstream entries(path);
    for (std::string entry; std::getline(entries, entry, ':');) {
      if (!entry.empty()) folders.push_back(fs::path(entry).parent_path() / "lib");
    }
  }
  folders.insert(folders.end(), {"/usr/local/lib", "/usr/lib", "/usr/lib64"});
  return folders;
}

}  // namespace

Text Text::Load(const std::string& path) {
  const std::string contents = ReadFile(path);
  std::array<int64_t, 256> code_of;
  code_of.fill(-1);
  for (const char c : contents) code_of[static_cast<unsigned char>(c)] = 0;

  Text text;
  text.path = path;
  text.fingerprint = Fingerprint(contents);
  for (int byte = 0; byte < 256; ++byte) {
    if (code_of[byte] < 0) continue;
    code_of[byte] = text.vocabulary_size();
    text.vocabulary.push_back(static_cast<char>(byte));
  }
  text.codes = at::empty({static_cast<int64_t>(contents.size())}, at::kLong);
  int64_t* codes = text.codes.mutable_data_ptr<int64_t>();
  for (const char c : contents) *codes++ = code_of[static_cast<unsigned char>(c)];
  return text;
}

at::Tensor Text::Encode(const std::string& characters) const {
  std::vector<int64_t> codes;
  for (const char c : characters) {
    const size_t code = vocabulary.find(c);
    if (code != std::string::npos) codes.push_back(static_cast<int64_t>(code));
  }
  at::Tensor result = at::empty({static_cast<int64_t>(codes.size())}, at::kLong);
  std::copy(codes.begin(), codes.end(), result.mutable_data_ptr<int64_t>());
  return result;
}

std::string FindDefaultText() {
  std::error_code ignored;
  if (fs::exists(CHAR_LM_DEFAULT_TEXT, ignored)) return CHAR_LM_DEFAULT_TEXT;
  // The build's copy is gone. The source that it was taken from will do.
  for (const fs::path& folder : LibraryFolders()) {
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
      if (entry.path().filename().string().rfind("python3", 0) != 0) continue;
      const fs::path topics = entry.path() / "pydoc_data" / "topics.py";
      if (fs::exists(topics, ignored)) return topics.string();
    }
  }
  throw std::runtime_error("found no Python whose help could serve as text; give --text FILE");
}

Reader::Reader(const Text& text, int64_t batch, int64_t chunk, int64_t seed)
    : codes_(text.codes),
      batch_(batch),
      chunk_(chunk),
      // The last character is nobody's input, and up to chunk - 1 are skipped by the shift.
      length_((text.codes.size(0) - chunk) / batch),
      generator_(at::detail::createCPUGenerator(static_cast<uint64_t>(seed))) {
  if (length_ < chunk_) {
    throw std::runtime_error("the text is too short: " + std::to_string(batch) + " streams of " +
                             std::to_string(chunk) + " characters need at least " +
                             std::to_string((batch + 1) * chunk) + ", '" + text.path + "' has " +
                             std::to_string(text.codes.size(0)));
  }
  position_ = length_;  // so that the first chunk begins an epoch
}

Chunk Reader::Next() {
  const bool first = position_ + chunk_ > length_;
  if (first) {
    shift_ = at::randint(chunk_, {1}, generator_, at::kLong).item<int64_t>();
    position_ = 0;
  }
  const auto streams = [&](int64_t offset) {  // [T, B]
    return codes_.narrow(0, shift_ + offset, batch_ * length_)
        .view({batch_, length_})
        .narrow(1, position_, chunk_)
        .t()
        .contiguous();
  };
  const Chunk chunk{streams(0), streams(1), first};
  position_ += chunk_;
  return chunk;
}

void Reader::Save(torch::serialize::OutputArchive& archive) const {
  archive.write("position", position_);
  archive.write("shift", shift_);
  archive.write("generator", generator_.get_state(), /*is_buffer=*/true);
}

void Reader::Load(torch::serialize::InputArchive& archive) {
  c10::IValue position;
  c10::IValue shift;
  at::Tensor state;
  archive.read("position", position);
  archive.read("shift", shift);
  archive.read("generator", state, /*is_buffer=*/true);
  position_ = position.toInt();
  shift_ = shift.toInt();
  generator_.set_state(state);
}

}  // namespace char_lm
