#include "stepper/json.h"

namespace elman::stepper {
namespace {

void append_utf8(unsigned code, std::string& to) {
  const auto byte = [&](unsigned value) { to += static_cast<char>(value); };
  if (code < 0x80) {
    byte(code);
  } else if (code < 0x800) {
    byte(0xC0 | code >> 6);
    byte(0x80 | (code & 0x3F));
  } else {
    byte(0xE0 | code >> 12);
    byte(0x80 | (code >> 6 & 0x3F));
    byte(0x80 | (code & 0x3F));
  }
}

}  // namespace

char JsonReader::next() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
    ++at_;
  return at_ < text_.size() ? text_[at_] : '\0';
}

void JsonReader::expect(char c) {
  if (next() != c) fail(std::string("'") + c + "'");
  ++at_;
}

unsigned JsonReader::hex_digits() {
  unsigned code = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    unsigned digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<unsigned>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<unsigned>(c - 'a') + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<unsigned>(c - 'A') + 10;
    } else {
      fail("a hexadecimal digit");
    }
    code = code << 4 | digit;
  }
  return code;
}

std::string JsonReader::string() {
  expect('"');
  std::string value;
  for (;;) {
    if (at_ >= text_.size()) fail("'\"'");
    const char c = text_[at_++];
    if (c == '"') return value;
    if (static_cast<unsigned char>(c) < 0x20) fail("no control character in a string");
    if (c != '\\') {
      value += c;
      continue;
    }
    const char escaped = at_ < text_.size() ? text_[at_++] : '\0';
    switch (escaped) {
      case '"':
      case '\\':
      case '/':
        value += escaped;
        break;
      case 'b':
        value += '\b';
        break;
      case 'f':
        value += '\f';
        break;
      case 'n':
        value += '\n';
        break;
      case 'r':
        value += '\r';
        break;
      case 't':
        value += '\t';
        break;
      case 'u':
        append_utf8(hex_digits(), value);  // halves of a pair one by one: only for messages
        break;
      default:
        fail("an escape sequence");
    }
  }
}

int64_t JsonReader::whole_number() {
  constexpr int64_t kMost = int64_t{1} << 53;  // what JSON's numbers hold exactly
  if (next() < '0' || next() > '9') fail("a whole number");
  const std::size_t first = at_;
  int64_t value = 0;
  for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
    value = value * 10 + (text_[at_] - '0');
    if (value > kMost) fail("a smaller number");
  }
  if (text_[first] == '0' && at_ > first + 1) fail("a number without leading zeros");
  return value;
}

void JsonReader::end() {
  if (next() != '\0' || at_ < text_.size()) fail("the end");
}

}  // namespace elman::stepper
