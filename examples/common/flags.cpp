#include "flags.h"

#include <charconv>
#include <cstdio>
#include <iomanip>
#include <sstream>

namespace examples {
namespace {

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

}  // namespace

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

void ReadCommandLine(int argc, char** argv, const std::vector<Flag>& flags) {
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
}

std::string Describe(const std::vector<Flag>& flags) {
  std::ostringstream text;
  for (const Flag& flag : flags) {
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
  return text.str();
}

bool ReadCommandLineOrHelp(int argc, char** argv, std::vector<Flag> flags, const std::string& about,
                           const std::string& usage) {
  bool help = false;
  flags.push_back({"--help", "", "print this", &help});
  const std::string defaults = Describe(flags);
  ReadCommandLine(argc, argv, flags);
  if (help) {
    std::printf("usage: %s %s\n\n%s\n\n%s", argv[0], usage.c_str(), about.c_str(),
                defaults.c_str());
  }
  return !help;
}

int RunMain(int argc, char** argv, int (*run)(int, char**)) {
  try {
    return run(argc, argv);
  } catch (const UsageError& error) {
    std::fprintf(stderr, "%s: %s\nTry '%s --help'.\n", argv[0], error.what(), argv[0]);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
}

}  // namespace examples
