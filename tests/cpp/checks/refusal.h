#pragma once

#include <ATen/record_function.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <typeinfo>
#include <vector>

namespace elman_test {

/// The names of the operators that run while an object of this class lives, on this thread.
class Record {
 public:
  Record() {
    names().clear();
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback([](const at::RecordFunction& function) {
          names().insert(function.name());
          return std::unique_ptr<at::ObserverContext>();
        }).scopes({at::RecordScope::FUNCTION}));
  }
  ~Record() { at::removeCallback(handle_); }

  static std::set<std::string>& names() {
    thread_local std::set<std::string> names;
    return names;
  }

 private:
  at::CallbackHandle handle_;
};

/// The class that stands for each kind of error in C++, by the kind's name in Python.
inline const std::type_info& error_class(const std::string& kind) {
  if (kind == "RuntimeError") return typeid(c10::Error);
  if (kind == "ValueError") return typeid(c10::ValueError);
  TORCH_INTERNAL_ASSERT(kind == "NotImplementedError", kind);
  return typeid(c10::NotImplementedError);
}

/// Expects `text` to contain all of `words`, in their order.
inline void expect_words(const std::string& text, const std::vector<std::string>& words) {
  size_t at = 0;
  for (const std::string& some : words) {
    const size_t found = text.find(some, at);
    if (found == std::string::npos) {
      ADD_FAILURE() << "'" << some << "' is missing, or out of order, in: " << text;
      return;
    }
    at = found + some.size();
  }
}

/// Expects `call` to throw an error of `kind` with `words`, and to run no operator but elman's.
inline void expect_refusal(const std::function<void()>& call, const std::string& kind,
                           const std::vector<std::string>& words) {
  std::set<std::string> run;
  {
    const Record record;
    try {
      call();
      ADD_FAILURE() << "no error was thrown";
    } catch (const c10::Error& error) {
      expect_words(error.what_without_backtrace(), words);
      EXPECT_TRUE(typeid(error) == error_class(kind))
          << "expected a " << kind << ": " << error.what_without_backtrace();
    }
    run = Record::names();
  }
  for (const auto& name : run) EXPECT_EQ(name.substr(0, 7), "elman::") << name;
}

}  // namespace elman_test
