#include <string>

#include "cuda/call.h"
#include "cuda/paths.h"
#include "cuda/rnn.h"
#include "truncation.h"

namespace elman::cuda {

std::string kernel_info(const RnnArguments& args) {
  const Call call(args);
  const Windows windows = Windows::make(call.steps, args.k1, args.k2);
  return "cuda: forward: " + forward_choice(call).reason +
         "; backward: " + backward_choice(call, windows).reason;
}

}  // namespace elman::cuda
