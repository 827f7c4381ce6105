#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace examples {

// A line through points. Lines without a label are not in the legend.
struct Line {
  std::string label;
  const char* colour;
  double width;
  std::vector<double> x, y;
};

// Axes and lines; what leaves the range of y is not looked for.
struct Panel {
  std::string x_label;
  std::pair<double, double> x_range, y_range;
  std::vector<Line> lines;
};

// A self-contained SVG: panels side by side, with one legend and one axis of y.
void WriteFigure(const std::filesystem::path& path, const std::string& title,
                 const std::string& y_label, const std::vector<Panel>& panels);

// The colours of two things that are compared, told apart by the colour-blind as well.
inline constexpr const char* kBlue = "#0072b2";
inline constexpr const char* kOrange = "#d55e00";

}  // namespace examples
