#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <torch/serialize/archive.h>

#include <cstdint>
#include <string>

namespace char_lm {

// A file as characters. A character is a byte, so that any file in any encoding can be read; the
// vocabulary is the bytes that occur.
struct Text {
  std::string path;
  std::string vocabulary;  // code -> character
  at::Tensor codes;        // [N] int64 the file in codes
  uint64_t fingerprint;    // of the contents: a checkpoint belongs to one text

  // Throws std::runtime_error for a file that cannot be read or is empty.
  static Text Load(const std::string& path);

  int64_t vocabulary_size() const { return static_cast<int64_t>(vocabulary.size()); }
  // Characters that the vocabulary lacks are left out.  [n]
  at::Tensor Encode(const std::string& characters) const;
};

// The text that is used when none is asked for. Throws std::runtime_error where there is none.
std::string FindDefaultText();

struct Chunk {
  at::Tensor input;   // [T, B] int64 characters
  at::Tensor target;  // [T, B] int64 the character after each
  bool first;         // an epoch begins here: the state before it belongs to another place
};

// Reads a text in B streams side by side, chunk after chunk, so that the hidden state after one
// chunk is the right one to begin the next with. Every epoch starts at a random character, so that
// the borders of the chunks fall elsewhere each time.
class Reader {
 public:
  Reader(const Text& text, int64_t batch, int64_t chunk, int64_t seed);

  Chunk Next();

  void Save(torch::serialize::OutputArchive& archive) const;
  void Load(torch::serialize::InputArchive& archive);

 private:
  at::Tensor codes_;  // [N]
  int64_t batch_;
  int64_t chunk_;
  int64_t length_;        // characters of a stream per epoch
  int64_t position_ = 0;  // within the streams
  int64_t shift_ = 0;     // where the first stream of this epoch begins
  at::Generator generator_;
};

}  // namespace char_lm
