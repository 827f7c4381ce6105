#include "plot.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <sstream>
#include <stdexcept>

namespace char_lm {
namespace {

constexpr double kWidth = 960;
constexpr double kHeight = 420;
constexpr const char* kOurColour = "#0072b2";
constexpr const char* kTheirColour = "#d55e00";

struct Series {
  std::vector<double> x;
  std::vector<double> y;
  const char* colour;
  double width;
};

// 1, 2 or 5 times a power of ten, so that about `count` of them span the range.
double TickStep(double range, int count) {
  const double raw = range / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (raw <= factor * power) return factor * power;
  }
  return 10 * power;
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

// Axes, grid and lines in one rectangle of the page.
class Panel {
 public:
  Panel(double left, double x_max, double y_min, double y_max)
      : left_(left), x_max_(x_max), y_min_(y_min), y_max_(y_max) {}

  void Draw(std::ostream& svg, const std::string& x_label,
            const std::vector<Series>& series) const {
    svg << "<g stroke=\"#e2e2e2\">\n";
    const double x_step = TickStep(x_max_, 6);
    const double y_step = TickStep(y_max_ - y_min_, 6);
    const double first_y = std::ceil(y_min_ / y_step) * y_step;
    for (double x = 0; x <= x_max_ * 1.0001; x += x_step) Line(svg, X(x), Y(y_min_), X(x), kTop);
    for (double y = first_y; y <= y_max_; y += y_step) Line(svg, X(0), Y(y), X(x_max_), Y(y));
    svg << "</g>\n";
    for (double x = 0; x <= x_max_ * 1.0001; x += x_step) {
      Label(svg, X(x), kBottom + 18, "middle", Number(x));
    }
    for (double y = first_y; y <= y_max_; y += y_step) {
      Label(svg, left_ - 8, Y(y) + 4, "end", Number(std::round(y / y_step) * y_step));
    }
    Label(svg, left_ + kPanelWidth / 2, kBottom + 40, "middle", x_label);
    for (const Series& line : series) {
      svg << "<polyline fill=\"none\" stroke-linejoin=\"round\" stroke=\"" << line.colour
          << "\" stroke-width=\"" << line.width << "\" points=\"";
      for (size_t i = 0; i < line.x.size(); ++i) svg << X(line.x[i]) << ',' << Y(line.y[i]) << ' ';
      svg << "\"/>\n";
    }
  }

  static constexpr double kPanelWidth = 380;
  static constexpr double kTop = 84;
  static constexpr double kBottom = kHeight - 62;

 private:
  double X(double value) const { return left_ + kPanelWidth * value / x_max_; }
  double Y(double value) const {
    return kBottom - (kBottom - kTop) * (value - y_min_) / (y_max_ - y_min_);
  }
  static void Line(std::ostream& svg, double x1, double y1, double x2, double y2) {
    svg << "<line x1=\"" << x1 << "\" y1=\"" << y1 << "\" x2=\"" << x2 << "\" y2=\"" << y2
        << "\"/>\n";
  }

  const double left_;
  const double x_max_;
  const double y_min_;
  const double y_max_;
};

std::vector<double> Updates(const Curve& curve) {
  std::vector<double> x(curve.losses.size());
  std::iota(x.begin(), x.end(), 1.0);
  return x;
}

std::vector<double> Seconds(const Curve& curve) {
  std::vector<double> x(curve.seconds.size());
  std::partial_sum(curve.seconds.begin(), curve.seconds.end(), x.begin());
  return x;
}

}  // namespace

void WritePlot(const std::filesystem::path& path, const std::string& title, const Curve& ours,
               const Curve& theirs) {
  const size_t window = std::max<size_t>(1, ours.losses.size() / 100);
  const std::vector<double> our_loss = Smoothed(ours.losses, window);
  const std::vector<double> their_loss = Smoothed(theirs.losses, window);
  // A little air above and below, also where the curve is a single point.
  const auto [low, high] = std::minmax_element(our_loss.begin(), our_loss.end());
  const double air = 0.05 * std::max(*high - *low, 0.1);

  std::ofstream svg(path);
  svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << kWidth << ' ' << kHeight
      << "\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#333\">\n"
      << "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
  Label(svg, 70, 30, "start", title, " font-size=\"16\" font-weight=\"bold\"");
  double x = 70;
  for (const auto& [curve, colour] :
       {std::pair(&ours, kOurColour), std::pair(&theirs, kTheirColour)}) {
    svg << "<rect x=\"" << x << "\" y=\"50\" width=\"22\" height=\"4\" fill=\"" << colour
        << "\"/>\n";
    const std::string speed = std::to_string(static_cast<int64_t>(Speed(*curve)));
    Label(svg, x + 30, 57, "start", curve->name + ", " + speed + " characters/s");
    x += 300;
  }
  Label(svg, 0, 0, "middle", "loss, nats per character",
        " transform=\"translate(20 221) rotate(-90)\"");
  // Theirs wide below ours thin: where the curves agree, both can be seen.
  Panel(70, static_cast<double>(std::max<size_t>(ours.losses.size(), 1)), *low - air, *high + air)
      .Draw(svg, "update",
            {{Updates(theirs), their_loss, kTheirColour, 5},
             {Updates(ours), our_loss, kOurColour, 1.8}});
  const std::vector<double> our_time = Seconds(ours);
  const std::vector<double> their_time = Seconds(theirs);
  Panel(550, std::max(our_time.back(), their_time.back()), *low - air, *high + air)
      .Draw(svg, "seconds of training",
            {{their_time, their_loss, kTheirColour, 2.2}, {our_time, our_loss, kOurColour, 2.2}});
  svg << "</svg>\n";
  svg.close();
  if (!svg) throw std::runtime_error("cannot write '" + path.string() + "'");
}

}  // namespace char_lm
