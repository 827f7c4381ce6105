#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace elman::stepper {

/// Reads the little of JSON that the header of a safetensors file is made of: objects, arrays,
/// strings and whole numbers. The caller says what has to come next, so that nothing is nested
/// deeper than it asks for. Throws std::runtime_error where something else comes.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  /// Calls member(key) for each member of an object, with the value left to be read.
  template <typename Member>
  void object(const Member& member) {
    list('{', '}', [&] {
      const std::string key = string();
      expect(':');
      member(key);
    });
  }
  /// Calls element() for each element of an array, which is to read it.
  template <typename Element>
  void array(const Element& element) {
    list('[', ']', element);
  }
  std::string string();
  int64_t whole_number();
  /// Nothing but spaces may follow.
  void end();

 private:
  template <typename Item>
  void list(char open, char close, const Item& item) {
    expect(open);
    if (next() == close) {
      ++at_;
      return;
    }
    for (;;) {
      item();
      const char c = next();
      ++at_;
      if (c == close) return;
      if (c != ',') fail(std::string("',' or '") + close + "'");
    }
  }
  /// The next character that is no space, which stays; 0 at the end.
  char next();
  void expect(char c);
  unsigned hex_digits();
  [[noreturn]] void fail(const std::string& expected) const {
    throw std::runtime_error("its header is no valid JSON: expected " + expected + " before byte " +
                             std::to_string(at_));
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace elman::stepper
