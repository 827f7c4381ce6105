#include "progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace examples {
namespace {

int TerminalWidth() {
  winsize size{};
  const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

}  // namespace

ProgressBar::ProgressBar(int64_t start, int64_t total, double time_limit)
    : terminal_(isatty(STDOUT_FILENO) != 0),
      start_(start),
      total_(std::max<int64_t>(total, 1)),
      time_limit_(time_limit),
      shown_tenth_(10 * start / total_),
      begin_(std::chrono::steady_clock::now()) {}

void ProgressBar::Show(int64_t position, const std::function<std::string()>& status) {
  const auto now = std::chrono::steady_clock::now();
  const double percent = 100 * static_cast<double>(position) / static_cast<double>(total_);
  if (!terminal_) {
    const int64_t tenth = 10 * position / total_;
    if (tenth == shown_tenth_) return;
    shown_tenth_ = tenth;
    std::printf("%3.0f%%  %s  %s\n", percent, status().c_str(), Remaining(position).c_str());
    std::fflush(stdout);
    return;
  }
  if (position < total_ && now - drawn_ < std::chrono::milliseconds(100)) return;
  drawn_ = now;
  open_ = true;
  const std::string text = status() + "  " + Remaining(position);
  // What the line has left beside " 45% []", the text, and the last column, where some wrap.
  const int width = std::max(5, TerminalWidth() - 10 - static_cast<int>(text.size()));
  const int done = std::clamp(static_cast<int>(percent / 100 * width), 0, width);
  std::string bar(static_cast<size_t>(done), '=');
  if (done < width) bar += '>';
  bar.resize(static_cast<size_t>(width), ' ');
  std::printf("\r%3.0f%% [%s] %s\033[K", percent, bar.c_str(), text.c_str());
  std::fflush(stdout);
}

void ProgressBar::Close() {
  if (open_) std::printf("\n");
  std::fflush(stdout);
  open_ = false;
}

std::string ProgressBar::Remaining(int64_t position) const {
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin_;
  if (position <= start_) return "";
  const double needed = passed.count() * static_cast<double>(total_ - position) /
                        static_cast<double>(position - start_);
  const double seconds = std::max(0.0, std::min(needed, time_limit_ - passed.count()));
  char text[32];
  std::snprintf(text, sizeof text, "%d:%02d left", static_cast<int>(seconds) / 60,
                static_cast<int>(seconds) % 60);
  return text;
}

}  // namespace examples
