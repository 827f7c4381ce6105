// A control loop: a policy keeps a pole upright on a cart. It sees where they are, not how fast
// they move. It needs the stepper alone: no LibTorch, no Python. examples/training/balance.py
// trains it.
//
//   balance POLICY.safetensors [SECONDS, 20]

#include <elman/stepper.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>

namespace {

constexpr double kStep = 0.02;   // seconds
constexpr double kForce = 10;    // newtons, at most
constexpr double kFallen = 0.4;  // radians

// The cart-pole of Barto, Sutton and Anderson (1983).
struct CartPole {
  double position = 0, velocity = 0, angle = 0, turn = 0;

  void Move(double action) {
    constexpr double kGravity = 9.8, kMass = 1.1, kPoleMass = 0.1, kLength = 0.5;
    const double sine = std::sin(angle), cosine = std::cos(angle);
    const double push = (kForce * action + kPoleMass * kLength * turn * turn * sine) / kMass;
    const double angular = (kGravity * sine - cosine * push) /
                           (kLength * (4.0 / 3 - kPoleMass * cosine * cosine / kMass));
    const double linear = push - kPoleMass * kLength * angular * cosine / kMass;
    velocity += kStep * linear;
    turn += kStep * angular;
    position += kStep * velocity;
    angle += kStep * turn;
  }
};

void Draw(double seconds, const CartPole& cart) {
  constexpr int kWidth = 60;
  std::string line(kWidth + 1, ' ');
  const auto column = [](double metres) {
    return static_cast<size_t>(std::clamp((metres + 1.5) / 3, 0.0, 1.0) * kWidth);
  };
  line[column(0)] = ':';
  line[column(cart.position)] = '#';
  line[column(cart.position + std::sin(cart.angle))] = 'o';  // the pole's tip
  std::printf("%5.1f s |%s| %+6.1f degrees\n", seconds, line.c_str(),
              cart.angle * 180 / 3.14159265358979);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: balance POLICY.safetensors [SECONDS, 20]\n");
    return 2;
  }
  const auto steps = static_cast<int64_t>((argc > 2 ? std::atof(argv[2]) : 20) / kStep);
  elman::Stepper policy = elman::Stepper::load(argv[1]);
  if (policy.input_size() != 2 || policy.output_size() != 1)
    throw std::runtime_error("the policy must have two inputs and one output");
  CartPole cart{0.4, 0.1, -0.12, 0.15};
  double spent = 0;
  int64_t step = 0;
  for (; step < steps && std::abs(cart.angle) < kFallen; ++step) {
    if (step % 25 == 0) Draw(static_cast<double>(step) * kStep, cart);
    const float seen[] = {static_cast<float>(cart.position), static_cast<float>(5 * cart.angle)};
    float action = 0;
    const auto begin = std::chrono::steady_clock::now();
    policy.step(seen, &action);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    spent += taken.count();
    cart.Move(action);
  }
  std::printf("%s for %.1f s; a decision took %.2f microseconds in the mean\n",
              step == steps ? "upright" : "fell after being upright",
              static_cast<double>(step) * kStep, spent / static_cast<double>(step) * 1e6);
  return step == steps ? 0 : 1;
} catch (const std::exception& wrong) {
  std::fprintf(stderr, "balance: %s\n", wrong.what());
  return 1;
}
