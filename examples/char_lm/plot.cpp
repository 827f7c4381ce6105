#include "plot.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "common/figure.h"

namespace char_lm {
namespace {

std::vector<double> Updates(const Curve& curve) {
  std::vector<double> x(curve.losses.size());
  std::iota(x.begin(), x.end(), 1.0);
  return x;
}

// When each update would be over if all blocks ran at the median's speed.
std::vector<double> Seconds(const Curve& curve, size_t block) {
  std::vector<double> x = Updates(curve);
  const double seconds = curve.characters_per_update / MedianSpeed(curve, block);
  for (double& update : x) update *= seconds;
  return x;
}

std::string Label(const Curve& curve, size_t block) {
  return curve.name + ", " + std::to_string(static_cast<int64_t>(MedianSpeed(curve, block))) +
         " characters/s";
}

}  // namespace

void WritePlot(const std::filesystem::path& path, const std::string& title, const Curve& ours,
               const Curve& theirs, size_t block) {
  using examples::kBlue, examples::kOrange;
  const size_t window = std::max<size_t>(1, ours.losses.size() / 100);
  const std::vector<double> our_loss = Smoothed(ours.losses, window);
  const std::vector<double> their_loss = Smoothed(theirs.losses, window);
  // A little air above and below, also where the curve is a single point.
  const auto [low, high] = std::minmax_element(our_loss.begin(), our_loss.end());
  const double air = 0.05 * std::max(*high - *low, 0.1);
  const std::pair<double, double> losses(*low - air, *high + air);
  const auto updates = static_cast<double>(std::max<size_t>(ours.losses.size(), 1));
  const std::vector<double> our_time = Seconds(ours, block);
  const std::vector<double> their_time = Seconds(theirs, block);
  // Theirs wide below ours thin: where the curves agree, both can be seen.
  examples::WriteFigure(
      path, title, "loss, nats per character",
      {{"update",
        {0, updates},
        losses,
        {{Label(theirs, block), kOrange, 5, Updates(theirs), their_loss},
         {Label(ours, block), kBlue, 1.8, Updates(ours), our_loss}}},
       {"seconds of training, at the median speed",
        {0, std::max(our_time.back(), their_time.back())},
        losses,
        {{"", kOrange, 2.2, their_time, their_loss}, {"", kBlue, 2.2, our_time, our_loss}}}});
}

}  // namespace char_lm
