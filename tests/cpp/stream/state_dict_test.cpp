// Streams that are stored and read back (csrc/stream/state_dict.cpp).

#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/serialize.h>

#include <cstdint>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "stream/small_stream.h"
#include "testing.h"

namespace {

using elman::RNNOptions;
using elman_test::gradients;
using elman_test::kBatch;
using elman_test::kHidden;
using elman_test::kInput;
using elman_test::make_rnn;
using elman_test::random;
using torch::Tensor;

TEST(Stream, GoesOnToTheBitFromAnArchive) {
  torch::manual_seed(5);
  elman::RNN rnn = make_rnn(RNNOptions(kInput, kHidden).num_layers(2).batch_first(true));
  elman::Stream stream(rnn, 2, 9);
  const Tensor reset = torch::tensor({{false, true}, {false, false}});
  for (int i = 0; i < 6; ++i) stream(random({kBatch, 2, kInput}), reset);
  std::stringstream stored;
  torch::save(stream, stored);
  elman::Stream again(rnn, 2, 9);
  torch::load(again, stored);
  const Tensor x = random({kBatch, 2, kInput});
  stream(x).sum().backward();
  const auto expected = gradients(rnn);
  rnn->zero_grad();
  again(x).sum().backward();
  const auto found = gradients(rnn);
  for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(torch::equal(found[i], expected[i])) << i;
  EXPECT_TRUE(torch::equal(again.state(), stream.state()));

  std::stringstream other;
  torch::save(stream, other);
  elman::Stream longer(rnn, 2, 10);
  EXPECT_ERROR(torch::load(longer, other), "'truncation' must be that of the stream, (2, 10)");
}

TEST(Stream, OfNoRowsGoesOnFromAnArchive) {
  for (const int64_t layers : {1, 2}) {
    elman::RNN rnn = make_rnn(RNNOptions(kInput, kHidden).num_layers(layers).dropout(0.5));
    elman::Stream stream(rnn, 2, 9), again(rnn, 2, 9);
    for (int i = 0; i < 3; ++i) stream(random({2, 0, kInput}));
    std::stringstream stored;
    torch::save(stream, stored);
    torch::load(again, stored);
    EXPECT_EQ(again.state().sizes(), torch::IntArrayRef({layers, 0, kHidden}));
    again(random({2, 0, kInput})).sum().backward();
    for (const Tensor& gradient : gradients(rnn)) EXPECT_FALSE(gradient.any().item<bool>());
    rnn->zero_grad();
  }
}

/// Every tensor of an archive x every defect.
TEST(Stream, RefusesAnArchiveThatDoesNotFit) {
  using Archive = std::map<std::string, Tensor>;
  const auto load = [](elman::Stream& stream, const Archive& tensors) {
    torch::serialize::OutputArchive out;
    for (const auto& [name, tensor] : tensors) out.write(name, tensor, /*is_buffer=*/true);
    std::stringstream stored;
    out.save_to(stored);
    torch::load(stream, stored);
  };
  elman::RNN rnn = make_rnn(RNNOptions(kInput, kHidden).num_layers(2).dropout(0.5));
  elman::Stream stream(rnn, 2, 9);
  for (int i = 0; i < 3; ++i) {
    stream(random({2, kBatch, kInput}), torch::zeros({2, kBatch}, torch::kBool), torch::ones({2}));
  }
  stream.set_state(random({2, kBatch, kHidden}));
  torch::serialize::OutputArchive out;
  stream.save(out);
  std::stringstream stored;
  out.save_to(stored);
  torch::serialize::InputArchive in;
  in.load_from(stored);
  Archive right;
  for (const auto& name : in.keys()) in.read(name, right[name], /*is_buffer=*/true);
  EXPECT_EQ(right.size(), 12u);
  load(stream, right);
  for (const auto& [name, tensor] : right) {
    const std::vector<std::pair<const char*, Tensor>> spoilt{
        {"float32", tensor.to(torch::kFloat)},
        {"int16", tensor.to(torch::kShort)},
        {"one dimension more", tensor.unsqueeze(0)},
        {"twice", tensor.dim() == 0 ? tensor.expand({2}) : torch::cat({tensor, tensor}, -1)},
        {"none", tensor.flatten().narrow(0, 0, 0)},
    };
    for (const auto& [defect, with] : spoilt) {
      // How wide the input is, the module knows.
      if (name == "input" && defect == std::string("twice")) continue;
      SCOPED_TRACE(name + " " + defect);
      Archive wrong = right;
      wrong[name] = with;
      EXPECT_ERROR(load(stream, wrong), "state_dict: '");
      load(stream, right);
    }
  }
}

}  // namespace
