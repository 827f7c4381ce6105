#include "figure.h"

#include <cmath>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace examples {
namespace {

constexpr double kWidth = 960;
constexpr double kHeight = 420;
constexpr double kTop = 84;
constexpr double kBottom = kHeight - 62;
constexpr double kLeft = 70;
constexpr double kGap = 100;  // between panels
constexpr double kRight = kWidth - 30;

// 1, 2 or 5 times a power of ten, so that about `count` of them span the range.
double TickStep(double range, int count) {
  const double raw = range / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (raw <= factor * power) return factor * power;
  }
  return 10 * power;
}

std::vector<double> Ticks(const std::pair<double, double>& range) {
  const double step = TickStep(range.second - range.first, 6);
  std::vector<double> ticks;
  for (double i = std::ceil(range.first / step); i * step <= range.second + 1e-4 * step; ++i)
    ticks.push_back(i * step);
  return ticks;
}

std::string Number(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

void Label(std::ostream& svg, double x, double y, const char* anchor, const std::string& text,
           const char* more = "") {
  svg << "<text x=\"" << x << "\" y=\"" << y << "\" text-anchor=\"" << anchor << "\"" << more
      << ">";
  for (const char c : text) {
    if (c == '&') {
      svg << "&amp;";
    } else if (c == '<') {
      svg << "&lt;";
    } else {
      svg << c;
    }
  }
  svg << "</text>\n";
}

// A panel in its rectangle of the page.
class PlacedPanel {
 public:
  PlacedPanel(const Panel& panel, double left, double width)
      : panel_(panel), left_(left), width_(width) {}

  void Draw(std::ostream& svg) const {
    const auto [x_min, x_max] = panel_.x_range;
    const auto [y_min, y_max] = panel_.y_range;
    svg << "<g stroke=\"#e2e2e2\">\n";
    for (const double x : Ticks(panel_.x_range)) Rule(svg, X(x), Y(y_min), X(x), Y(y_max));
    for (const double y : Ticks(panel_.y_range)) Rule(svg, X(x_min), Y(y), X(x_max), Y(y));
    svg << "</g>\n";
    for (const double x : Ticks(panel_.x_range))
      Label(svg, X(x), kBottom + 18, "middle", Number(x));
    for (const double y : Ticks(panel_.y_range)) Label(svg, left_ - 8, Y(y) + 4, "end", Number(y));
    Label(svg, left_ + width_ / 2, kBottom + 40, "middle", panel_.x_label);
    for (const Line& line : panel_.lines) {
      svg << "<polyline fill=\"none\" stroke-linejoin=\"round\" stroke=\"" << line.colour
          << "\" stroke-width=\"" << line.width << "\" points=\"";
      for (size_t i = 0; i < line.x.size(); ++i) svg << X(line.x[i]) << ',' << Y(line.y[i]) << ' ';
      svg << "\"/>\n";
    }
  }

 private:
  double X(double value) const {
    const auto [min, max] = panel_.x_range;
    return left_ + width_ * (value - min) / (max - min);
  }
  double Y(double value) const {
    const auto [min, max] = panel_.y_range;
    return kBottom - (kBottom - kTop) * (value - min) / (max - min);
  }
  static void Rule(std::ostream& svg, double x1, double y1, double x2, double y2) {
    svg << "<line x1=\"" << x1 << "\" y1=\"" << y1 << "\" x2=\"" << x2 << "\" y2=\"" << y2
        << "\"/>\n";
  }

  const Panel& panel_;
  const double left_, width_;
};

void DrawLegend(std::ostream& svg, const std::vector<Panel>& panels) {
  double x = kLeft;
  for (const Panel& panel : panels) {
    for (const Line& line : panel.lines) {
      if (line.label.empty()) continue;
      svg << "<rect x=\"" << x << "\" y=\"50\" width=\"22\" height=\"4\" fill=\"" << line.colour
          << "\"/>\n";
      Label(svg, x + 30, 57, "start", line.label);
      x += 300;
    }
  }
}

}  // namespace

void WriteFigure(const std::filesystem::path& path, const std::string& title,
                 const std::string& y_label, const std::vector<Panel>& panels) {
  std::ofstream svg(path);
  svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << kWidth << ' ' << kHeight
      << "\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#333\">\n"
      << "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
  Label(svg, kLeft, 30, "start", title, " font-size=\"16\" font-weight=\"bold\"");
  DrawLegend(svg, panels);
  Label(svg, 0, 0, "middle", y_label, " transform=\"translate(20 221) rotate(-90)\"");
  const auto count = static_cast<double>(panels.size());
  const double width = (kRight - kLeft - (count - 1) * kGap) / count;
  double left = kLeft;
  for (const Panel& panel : panels) {
    PlacedPanel(panel, left, width).Draw(svg);
    left += width + kGap;
  }
  svg << "</svg>\n";
  svg.close();
  if (!svg) throw std::runtime_error("cannot write '" + path.string() + "'");
}

}  // namespace examples
