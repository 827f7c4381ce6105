#pragma once

#include <torch/csrc/jit/frontend/resolver.h>

#include <memory>
#include <string>

namespace char_lm {

// Lets TorchScript that is compiled from C++ say `torch.ops.<library>.<operator>`, as it may when
// it is compiled from Python. LibTorch's own resolver stops at `torch.<operator>`.
class TorchOpsResolver : public torch::jit::Resolver {
 public:
  std::shared_ptr<torch::jit::SugaredValue> resolveValue(
      const std::string& name, torch::jit::GraphFunction& /*caller*/,
      const torch::jit::SourceRange& /*location*/) override {
    return name == "torch" ? std::make_shared<Torch>() : nullptr;
  }

 private:
  struct Ops : torch::jit::SugaredValue {
    std::string kind() const override { return "torch.ops"; }
    std::shared_ptr<torch::jit::SugaredValue> attr(const torch::jit::SourceRange& /*location*/,
                                                   torch::jit::GraphFunction& /*caller*/,
                                                   const std::string& library) override {
      return std::make_shared<torch::jit::BuiltinModule>(library);
    }
  };

  struct Torch : torch::jit::BuiltinModule {
    Torch() : BuiltinModule("aten") {}
    std::shared_ptr<torch::jit::SugaredValue> attr(const torch::jit::SourceRange& location,
                                                   torch::jit::GraphFunction& caller,
                                                   const std::string& field) override {
      if (field == "ops") return std::make_shared<Ops>();
      return BuiltinModule::attr(location, caller, field);
    }
  };
};

}  // namespace char_lm
