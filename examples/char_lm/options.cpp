#include "options.h"

#include <charconv>
#include <iomanip>
#include <sstream>
#include <variant>

namespace char_lm {
namespace {

struct Flag {
  std::string name;
  std::string value;  // what the help calls the value; empty for a switch
  std::string help;
  std::variant<bool*, int64_t*, double*, std::string*, std::filesystem::path*> target;
  double minimum = 1;  // of a number
};

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

template <typename Number>
void ReadNumber(const Flag& flag, const std::string& text, Number* target) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *target);
  if (error != std::errc() || stop != end || !(static_cast<double>(*target) >= flag.minimum)) {
    std::ostringstream message;
    message << flag.name << " expects a number of at least " << flag.minimum << ", got '" << text
            << "'";
    throw UsageError(message.str());
  }
}

void Read(const Flag& flag, const std::string& text) {
  std::visit(
      [&](auto* target) {
        using Value = std::remove_pointer_t<decltype(target)>;
        if constexpr (std::is_same_v<Value, int64_t> || std::is_same_v<Value, double>) {
          ReadNumber(flag, text, target);
        } else if constexpr (!std::is_same_v<Value, bool>) {
          *target = text;
        }
      },
      flag.target);
}

// Digits enough that reading the text back gives the same number.
std::string Show(const Flag& flag) {
  std::ostringstream text;
  text << std::setprecision(17);
  std::visit(
      [&](auto* target) {
        using Value = std::remove_pointer_t<decltype(target)>;
        if constexpr (std::is_same_v<Value, std::filesystem::path>) {
          text << target->string();
        } else {
          text << *target;
        }
      },
      flag.target);
  return text.str();
}

}  // namespace

Options ParseOptions(int argc, char** argv, const Options& defaults) {
  Options options = defaults;
  const std::vector<Flag> flags = Flags(options);
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i];
    const size_t equals = name.find('=');
    const bool attached = name.rfind("--", 0) == 0 && equals != std::string::npos;
    const std::string value = attached ? name.substr(equals + 1) : "";
    if (attached) name.resize(equals);

    const Flag* flag = nullptr;
    for (const Flag& candidate : flags) {
      if (candidate.name == name) flag = &candidate;
    }
    if (flag == nullptr) throw UsageError("unknown argument '" + std::string(argv[i]) + "'");
    if (flag->value.empty()) {
      if (attached) throw UsageError(name + " takes no value");
      *std::get<bool*>(flag->target) = true;
    } else if (attached) {
      Read(*flag, value);
    } else if (i + 1 < argc) {
      Read(*flag, argv[++i]);
    } else {
      throw UsageError(name + " expects a value (" + flag->value + ")");
    }
  }
  return options;
}

std::string Usage(const std::string& program) {
  Options defaults;
  std::ostringstream text;
  text << "usage: " << program << " [options]\n\n"
       << "Trains a character model with truncated BPTT twice, through elman::RNN and through\n"
       << "torch::nn::RNN in a detach loop, and compares curves and speed.\n\n";
  for (const Flag& flag : Flags(defaults)) {
    const std::string left = flag.name + (flag.value.empty() ? "" : " " + flag.value);
    text << "  " << std::left << std::setw(24) << left << flag.help;
    std::visit(
        [&](auto* value) {
          using Value = std::remove_pointer_t<decltype(value)>;
          if constexpr (std::is_same_v<Value, int64_t> || std::is_same_v<Value, double>) {
            text << " [" << *value << "]";
          } else if constexpr (std::is_same_v<Value, std::filesystem::path>) {
            text << " [" << value->string() << "]";
          }
        },
        flag.target);
    text << "\n";
  }
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
  for (const Flag& flag : SettingFlags(copy)) pairs.emplace_back(flag.name, Show(flag));
  return pairs;
}

Settings FromPairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Settings settings;
  const std::vector<Flag> flags = SettingFlags(settings);
  for (const auto& [name, value] : pairs) {
    for (const Flag& flag : flags) {
      if (flag.name == name) Read(flag, value);
    }
  }
  return settings;
}

}  // namespace char_lm
