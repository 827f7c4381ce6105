#include "sample.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/multinomial.h>
#include <ATen/ops/softmax.h>

namespace char_lm {
namespace {

// A terminal takes no control characters, and a character beyond ASCII only where all of its bytes
// came. Bytes that cannot be shown become '?'.
std::string Printable(const std::string& characters) {
  std::string result;
  for (size_t i = 0; i < characters.size(); ++i) {
    const auto byte = static_cast<unsigned char>(characters[i]);
    const size_t following = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte >= 0xc2 ? 1 : 0;
    bool whole = following > 0 && byte < 0xf5 && i + following < characters.size();
    for (size_t j = 1; j <= following && whole; ++j) {
      whole = (static_cast<unsigned char>(characters[i + j]) & 0xc0) == 0x80;
    }
    if (whole) {
      result.append(characters, i, following + 1);
      i += following;
    } else {
      const bool shown = (byte >= ' ' && byte < 0x7f) || byte == '\n' || byte == '\t';
      result.push_back(shown ? characters[i] : '?');
    }
  }
  return result;
}

}  // namespace

std::string Sample(CharModelImpl<elman::RNN>& model, const Text& text, const std::string& prime,
                   int64_t length, double temperature, int64_t seed) {
  const at::NoGradGuard no_grad;
  at::Generator generator = at::detail::createCPUGenerator(static_cast<uint64_t>(seed));
  at::Tensor input = text.Encode(prime).unsqueeze(1);  // [T, 1]
  if (input.numel() == 0) input = text.codes.narrow(0, 0, 1).unsqueeze(1);
  at::Tensor hidden;
  std::string characters = prime;
  for (int64_t i = 0; i < length; ++i) {
    auto [logits, next] = model.forward(input, hidden);
    const at::Tensor chances = at::softmax(logits[-1] / temperature, -1);   // [1, V]
    input = at::multinomial(chances, 1, /*replacement=*/false, generator);  // [1, 1]
    hidden = next;
    characters.push_back(text.vocabulary[static_cast<size_t>(input.item<int64_t>())]);
  }
  return Printable(characters);
}

}  // namespace char_lm
