#include "options.h"

#include <sstream>

#include "common/flags.h"

namespace char_lm {
namespace {

using examples::Flag;

std::vector<Flag> SettingFlags(Settings& s) {
  return {
      {"--text", "FILE", "text to learn from (default: the texts of Python's help)", &s.text},
      {"--hidden", "H", "hidden size", &s.hidden_size},
      {"--layers", "L", "recurrent layers", &s.num_layers},
      {"--embedding", "I", "size of a character's embedding", &s.embedding_size},
      {"--batch", "B", "streams that are read side by side", &s.batch},
      {"--chunk", "T", "characters of each stream per update", &s.chunk},
      {"--truncation", "k", "steps that a gradient goes back", &s.truncation},
      {"--learning-rate", "R", "step size of Adam", &s.learning_rate, 0},
      {"--clip", "N", "largest norm of the gradient", &s.max_gradient_norm, 0},
      {"--seed", "N", "seed of weights and of reading", &s.seed, 0},
  };
}

std::vector<Flag> Flags(Options& o) {
  std::vector<Flag> flags = SettingFlags(o.settings);
  const std::vector<Flag> rest = {
      {"--updates", "N", "updates of each model", &o.updates},
      {"--time-limit", "SECONDS", "end the training after this time at the latest", &o.time_limit,
       0},
      {"--block", "N", "updates of one model before it is the other's turn", &o.block},
      {"--checkpoint-every", "N", "updates between checkpoints", &o.checkpoint_every},
      {"--threads", "N", "threads (0: LibTorch's default)", &o.threads, 0},
      {"--sample-length", "N", "characters to sample from the trained model", &o.sample_length, 0},
      {"--temperature", "X", "temperature of the sample", &o.temperature, 0.01},
      {"--output", "DIR", "where checkpoint, curves and plot go", &o.output},
      {"--resume", "", "go on from the checkpoint in the output directory", &o.resume},
      {"--lockstep", "", "float64 check instead: both models side by side, 200 updates",
       &o.lockstep},
      {"--help", "", "print this", &o.help},
  };
  flags.insert(flags.end(), rest.begin(), rest.end());
  return flags;
}

}  // namespace

Options ParseOptions(int argc, char** argv, const Options& defaults) {
  Options options = defaults;
  examples::ReadCommandLine(argc, argv, Flags(options));
  return options;
}

std::string Usage(const std::string& program) {
  Options defaults;
  std::ostringstream text;
  text << "usage: " << program << " [options]\n\n"
       << "Trains a character model with truncated BPTT twice, through elman::RNN and through\n"
       << "torch::nn::RNN in a detach loop, and compares curves and speed.\n\n";
  text << examples::Describe(Flags(defaults));
  text << "\nCtrl-C leaves a checkpoint; the same command with --resume goes on from it.\n";
  return text.str();
}

std::vector<std::string> Differences(const Settings& here, const Settings& there) {
  const auto ours = ToPairs(here);
  const auto theirs = ToPairs(there);
  std::vector<std::string> differences;
  for (size_t i = 0; i < ours.size(); ++i) {
    if (ours[i].second != theirs[i].second) {
      differences.push_back(ours[i].first + " is " + ours[i].second + " here and " +
                            theirs[i].second + " there");
    }
  }
  return differences;
}

std::vector<std::pair<std::string, std::string>> ToPairs(const Settings& settings) {
  Settings copy = settings;
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const Flag& flag : SettingFlags(copy)) pairs.emplace_back(flag.name, examples::Show(flag));
  return pairs;
}

Settings FromPairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Settings settings;
  const std::vector<Flag> flags = SettingFlags(settings);
  for (const auto& [name, value] : pairs) {
    for (const Flag& flag : flags) {
      if (flag.name == name) examples::Read(flag, value);
    }
  }
  return settings;
}

}  // namespace char_lm
