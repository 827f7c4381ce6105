#include "stepper/safetensors.h"

#include <algorithm>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "stepper/json.h"

namespace elman::stepper {
namespace {

constexpr int64_t kLengthBytes = 8;
/// As other readers have it.
constexpr uint64_t kMaxHeader = 100'000'000;

[[noreturn]] void refuse(const std::string& reason) { throw std::runtime_error(reason); }

FileTensor read_tensor(JsonReader& json, const std::string& name) {
  FileTensor tensor;
  std::vector<int64_t> offsets;
  int seen = 0;
  json.object([&](const std::string& key) {
    int which = 0;
    if (key == "dtype") {
      which = 1;
      tensor.dtype = json.string();
    } else if (key == "shape") {
      which = 2;
      tensor.shape.clear();
      json.array([&] { tensor.shape.push_back(json.whole_number()); });
    } else if (key == "data_offsets") {
      which = 4;
      offsets.clear();
      json.array([&] { offsets.push_back(json.whole_number()); });
    } else {
      refuse("tensor '" + name + "' has an unknown member '" + key + "'");
    }
    if ((seen & which) != 0) refuse("tensor '" + name + "' has '" + key + "' twice");
    seen |= which;
  });
  if (seen != 7) refuse("tensor '" + name + "' must have dtype, shape and data_offsets");
  if (offsets.size() != 2)
    refuse("tensor '" + name + "' must have two data_offsets, got " +
           std::to_string(offsets.size()));
  tensor.begin = offsets[0];
  tensor.end = offsets[1];
  return tensor;
}

/// The bytes that dtype and shape ask for, or more than `limit`.
int64_t wanted_bytes(const FileTensor& tensor, int64_t limit) {
  int64_t bytes = element_size(tensor.dtype);
  for (const int64_t size : tensor.shape) {
    if (size == 0) return 0;
    if (bytes > limit / size) return limit + 1;
    bytes *= size;
  }
  return bytes;
}

void check_places(const SafetensorsHeader& header, int64_t data_size) {
  std::vector<std::pair<int64_t, int64_t>> places;
  for (const auto& [name, tensor] : header.tensors) {
    if (tensor.begin > tensor.end) refuse("tensor '" + name + "' ends before it begins");
    if (tensor.end > data_size)
      refuse("it is cut short: tensor '" + name + "' ends at byte " + std::to_string(tensor.end) +
             " of the data, which has " + std::to_string(data_size));
    if (element_size(tensor.dtype) == 0)
      refuse("tensor '" + name + "' has the unknown dtype '" + tensor.dtype + "'");
    if (wanted_bytes(tensor, data_size) != tensor.end - tensor.begin)
      refuse("tensor '" + name + "' has " + std::to_string(tensor.end - tensor.begin) +
             " bytes, which is not what its shape and dtype " + tensor.dtype + " take");
    places.emplace_back(tensor.begin, tensor.end);
  }
  std::sort(places.begin(), places.end());
  int64_t at = 0;
  for (const auto& [begin, end] : places) {
    if (begin != at) refuse("its tensors overlap or leave a gap at byte " + std::to_string(at));
    at = end;
  }
  if (at != data_size)
    refuse(std::to_string(data_size - at) + " bytes after its tensors belong to none");
}

}  // namespace

int64_t element_size(const std::string& dtype) {
  static constexpr std::pair<const char*, int64_t> kSizes[] = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1},
      {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
      {"U32", 4},  {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};
  for (const auto& [name, size] : kSizes)
    if (dtype == name) return size;
  return 0;
}

SafetensorsHeader parse_safetensors(const void* file, std::size_t size) {
  const char* const bytes = static_cast<const char*>(file);
  if (size < kLengthBytes)
    refuse("it is cut short, or no safetensors file: it has " + std::to_string(size) + " bytes");
  uint64_t length = 0;
  for (int i = 0; i < kLengthBytes; ++i)
    length |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  if (length > kMaxHeader)
    refuse("it is no safetensors file: its header would have " + std::to_string(length) + " bytes");
  if (length > size - kLengthBytes)
    refuse("it is cut short: its header has " + std::to_string(length) + " bytes, of which " +
           std::to_string(size - kLengthBytes) + " are there");

  SafetensorsHeader header;
  bool has_metadata = false;
  JsonReader json(std::string_view(bytes + kLengthBytes, length));
  json.object([&](const std::string& key) {
    if (key == "__metadata__") {
      if (std::exchange(has_metadata, true)) refuse("it has __metadata__ twice");
      json.object([&](const std::string& name) {
        if (!header.metadata.emplace(name, json.string()).second)
          refuse("its metadata has '" + name + "' twice");
      });
    } else if (!header.tensors.emplace(key, read_tensor(json, key)).second) {
      refuse("it has tensor '" + key + "' twice");
    }
  });
  json.end();
  header.data = bytes + kLengthBytes + length;
  check_places(header, static_cast<int64_t>(size - kLengthBytes - length));
  return header;
}

}  // namespace elman::stepper
