// A character model on real text, trained with truncated back-propagation through time: once
// through elman::RNN, once through torch::nn::RNN in the usual loop that detaches the state every k
// steps. Same seed, same weights, same text, same threads. The two ways stand side by side in
// char_lm/trainer.cpp, ElmanTrainer::Backward and DetachLoopTrainer::Backward.

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

#include "char_lm/checkpoint.h"
#include "char_lm/curves.h"
#include "char_lm/lockstep.h"
#include "char_lm/options.h"
#include "char_lm/plot.h"
#include "char_lm/sample.h"
#include "char_lm/script.h"
#include "char_lm/text.h"
#include "char_lm/trainer.h"
#include "common/flags.h"
#include "common/interrupt.h"
#include "common/progress.h"

namespace char_lm {
namespace {

constexpr int64_t kLockstepUpdates = 200;

Curve ToCurve(const std::string& name, const Trainer& trainer) {
  return {name, trainer.losses(), trainer.seconds(),
          static_cast<double>(trainer.characters_per_update())};
}

Curve ToCurve(const ElmanTrainer& trainer) { return ToCurve("elman", trainer); }
Curve ToCurve(const DetachLoopTrainer& trainer) { return ToCurve("torch", trainer); }

// Whose turn it is. Both take turns of `block` updates, and alternate in who begins, so that a slow
// minute of the machine hits both. A function of the counts alone, so that it can be resumed.
Trainer& Next(const Options& options, ElmanTrainer& elman, DetachLoopTrainer& detach_loop) {
  const int64_t turn = std::min(elman.updates(), detach_loop.updates()) / options.block;
  Trainer& first = turn % 2 == 0 ? static_cast<Trainer&>(elman) : detach_loop;
  Trainer& second = turn % 2 == 0 ? static_cast<Trainer&>(detach_loop) : elman;
  return first.updates() < std::min((turn + 1) * options.block, options.updates) ? first : second;
}

std::string Status(const ElmanTrainer& elman, const DetachLoopTrainer& detach_loop) {
  const auto part = [](const Curve& curve) {
    char text[64];
    const size_t window = std::min<size_t>(50, curve.losses.size());
    const double loss = window == 0 ? 0.0 : Smoothed(curve.losses, window).back();
    std::snprintf(text, sizeof text, "%s %.3f %4.0fk/s", curve.name.c_str(), loss,
                  Speed(curve, 50) / 1000);
    return std::string(text);
  };
  return part(ToCurve(elman)) + " | " + part(ToCurve(detach_loop));
}

enum class End { kThrough, kTimeLimit, kInterrupted };

End Train(const Options& options, const Text& text, ElmanTrainer& elman,
          DetachLoopTrainer& detach_loop) {
  const auto done = [&] { return elman.updates() + detach_loop.updates(); };
  const auto save = [&] { SaveCheckpoint(options, text, elman, detach_loop); };
  const auto start = std::chrono::steady_clock::now();
  int64_t next_checkpoint = done() + 2 * options.checkpoint_every;
  End end = End::kThrough;
  examples::ProgressBar bar(done(), 2 * options.updates, options.time_limit);
  while (done() < 2 * options.updates && end == End::kThrough) {
    Next(options, elman, detach_loop).Update();
    if (done() >= next_checkpoint) {
      save();
      next_checkpoint = done() + 2 * options.checkpoint_every;
    }
    bar.Show(done(), [&] { return Status(elman, detach_loop); });
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    // Only where both have got equally far, so that the curves have the same length.
    if (passed.count() > options.time_limit && elman.updates() == detach_loop.updates()) {
      end = End::kTimeLimit;
    }
    if (examples::Interrupted()) end = End::kInterrupted;
  }
  bar.Close();
  save();
  return end;
}

void Report(const Options& options, const Text& text, const ElmanTrainer& elman,
            const DetachLoopTrainer& detach_loop) {
  const Curve ours = ToCurve(elman);
  const Curve theirs = ToCurve(detach_loop);
  std::printf("\n");
  PrintSummary(ours, theirs, static_cast<size_t>(options.block));

  const Settings& settings = options.settings;
  const std::string title = "Character model, H = " + std::to_string(settings.hidden_size) +
                            ", B = " + std::to_string(settings.batch) + ", TBPTT(" +
                            std::to_string(settings.truncation) + ") on " +
                            std::filesystem::path(text.path).filename().string();
  WriteCsv(options.output / "loss.csv", ours, theirs);
  WritePlot(options.output / "loss.svg", title, ours, theirs, static_cast<size_t>(options.block));

  std::printf(
      "\na sample of the model trained through elman::RNN:\n--------\n%s\n--------\n",
      Sample(*elman.model, text, "The ", options.sample_length, options.temperature, settings.seed)
          .c_str());
}

// Returns whether the file, loaded again, computes what the model does.
bool Script(const Options& options, const Text& text, const ElmanTrainer& elman) {
  const int64_t steps = options.settings.chunk / 2 + 1;
  const int64_t batch = options.settings.batch + 3;
  const std::filesystem::path path = options.output / "char_lm.pt";
  ExportScript(path, *elman.model, text);
  const double difference = CheckScript(path, *elman.model, text, steps, batch);
  const bool equal = difference <= 1e-4;  // logits of order 10, in float32
  std::printf(
      "\nTorchScript, saved, loaded and run at T = %lld, B = %lld: largest difference %.1e%s\n",
      static_cast<long long>(steps), static_cast<long long>(batch), difference,
      equal ? "" : ": NOT the same");
  return equal;
}

void PrintFiles(const Options& options) {
  std::printf("\n");
  for (const char* name : {"loss.svg", "loss.csv", "char_lm.pt", "checkpoint.pt"}) {
    std::printf("  %s\n", std::filesystem::absolute(options.output / name).c_str());
  }
}

void PrintCommands(const std::string& program, const Options& options) {
  const std::string output = " --output " + std::filesystem::absolute(options.output).string();
  std::printf("\nmore of it:\n");
  std::printf("  %s --text FILE             your own text\n", program.c_str());
  std::printf("  %s%s --resume --updates %lld   go on\n", program.c_str(), output.c_str(),
              static_cast<long long>(2 * options.updates));
  std::printf("  %s --lockstep              equality to 1e-10 in float64\n", program.c_str());
  std::printf("  %s --help                  sizes, truncation, layers, seed, ...\n",
              program.c_str());
}

// As it can be typed in any directory.
std::string Program(const std::string& argument) {
  const bool from_path = argument.find('/') == std::string::npos;
  return from_path ? argument : std::filesystem::weakly_canonical(argument).string();
}

// The text's path made absolute: a checkpoint outlives the directory that a program was started in.
Options ReadOptions(int argc, char** argv, const Options& defaults) {
  Options options = ParseOptions(argc, argv, defaults);
  std::string& text = options.settings.text;
  if (!text.empty()) text = std::filesystem::absolute(text).string();
  return options;
}

}  // namespace

int Run(int argc, char** argv) {
  const std::string program = Program(argv[0]);
  Options options = ReadOptions(argc, argv, Options());
  if (options.help) {
    std::printf("%s", Usage(argv[0]).c_str());
    return 0;
  }
  examples::CatchInterrupts();
  if (options.resume) {
    const Settings before = LoadOptions(options.output).settings;
    options = ReadOptions(argc, argv, LoadOptions(options.output));
    const std::vector<std::string> differences = Differences(options.settings, before);
    if (!differences.empty()) {
      throw examples::UsageError("this is not the run of the checkpoint: " + differences.front());
    }
  }
  if (options.threads > 0) at::set_num_threads(static_cast<int>(options.threads));
  if (options.settings.text.empty()) options.settings.text = FindDefaultText();
  const Text text = Text::Load(options.settings.text);
  std::printf("text: %s, %lld characters, %lld different ones; %d threads\n", text.path.c_str(),
              static_cast<long long>(text.codes.numel()),
              static_cast<long long>(text.vocabulary_size()), at::get_num_threads());
  if (options.lockstep) {
    const bool equal = RunLockstep(text, options.settings, kLockstepUpdates);
    return examples::Interrupted() ? examples::kInterruptedExit : equal ? 0 : 1;
  }

  std::filesystem::create_directories(options.output);
  ElmanTrainer elman(text, options.settings);
  DetachLoopTrainer detach_loop(text, options.settings);
  if (options.resume) {
    LoadCheckpoint(options.output, text, elman, detach_loop);
    std::printf("going on after %lld updates\n", static_cast<long long>(elman.updates()));
  }
  const End end = Train(options, text, elman, detach_loop);
  if (end == End::kInterrupted) {
    WriteCsv(options.output / "loss.csv", ToCurve(elman), ToCurve(detach_loop));
    std::printf(
        "\ninterrupted after %lld and %lld updates. Go on with\n  %s --output %s --resume\n",
        static_cast<long long>(elman.updates()), static_cast<long long>(detach_loop.updates()),
        program.c_str(), std::filesystem::absolute(options.output).c_str());
    return examples::kInterruptedExit;
  }
  if (end == End::kTimeLimit) {
    std::printf("time limit of %g s reached after %lld updates\n", options.time_limit,
                static_cast<long long>(elman.updates()));
  }
  Report(options, text, elman, detach_loop);
  const bool equal = Script(options, text, elman);
  PrintFiles(options);
  PrintCommands(program, options);
  return equal ? 0 : 1;
}

}  // namespace char_lm

int main(int argc, char** argv) { return examples::RunMain(argc, argv, char_lm::Run); }
