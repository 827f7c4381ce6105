#pragma once

#include <string>

// torch's <ATen/functorch/DynamicLayer.h> includes nlohmann/json.hpp, which LibTorch does not ship.
// These declarations are all that its inline functions name; nothing here calls them. This folder
// comes last in the include path, so that a true json.hpp goes first.

namespace nlohmann {

class json {
 public:
  json();
  template <typename T>
  explicit json(const T& value);
  static json parse(const std::string& text);
  std::string dump() const;
  template <typename T>
  T get() const;
};

}  // namespace nlohmann
