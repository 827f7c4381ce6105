#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace examples {

// The command line cannot be understood; what() says why.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// An option of the command line and the variable that it sets.
struct Flag {
  std::string name;
  std::string value;  // what the help calls the value; empty for a switch
  std::string help;
  std::variant<bool*, int64_t*, double*, std::string*, std::filesystem::path*> target;
  double minimum = 1;  // of a number
};

// Sets what the command line says. Throws UsageError.
void ReadCommandLine(int argc, char** argv, const std::vector<Flag>& flags);

// The same, with --help added to the flags: prints what the program is `about`, its options and
// their defaults, and returns false. `usage` follows the program's name.
bool ReadCommandLineOrHelp(int argc, char** argv, std::vector<Flag> flags, const std::string& about,
                           const std::string& usage = "[options]");

// One line for each flag, with the present value of its target as the default.
std::string Describe(const std::vector<Flag>& flags);

// The target's value; digits enough that reading the text back gives the same number.
std::string Show(const Flag& flag);

// Sets the target. Throws UsageError.
void Read(const Flag& flag, const std::string& text);

// Runs a program's main function. Exceptions become a message and an exit status: 2 with a hint at
// --help for a UsageError, 1 for others.
int RunMain(int argc, char** argv, int (*run)(int, char**));

}  // namespace examples
