#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace examples {

// One line that is rewritten in place on a terminal; elsewhere a new line for every tenth of the
// way.
class ProgressBar {
 public:
  // From `start` to `total`, or until `time_limit` seconds have passed.
  ProgressBar(int64_t start, int64_t total, double time_limit);

  // What `status` returns stands right of the bar; it is called only when something is drawn: at
  // most ten times a second, and always for the last step.
  void Show(int64_t position, const std::function<std::string()>& status);

  // Ends the line, so that other output can follow.
  void Close();

 private:
  std::string Remaining(int64_t position) const;

  const bool terminal_;
  const int64_t start_;
  const int64_t total_;
  const double time_limit_;
  int64_t shown_tenth_;
  bool open_ = false;  // something stands on the line
  std::chrono::steady_clock::time_point begin_;
  std::chrono::steady_clock::time_point drawn_;
};

}  // namespace examples
