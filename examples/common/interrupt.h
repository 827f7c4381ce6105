#pragma once

namespace examples {

// From now on the first Ctrl-C (or SIGTERM) only makes Interrupted() true; the second ends the
// program at once.
void CatchInterrupts();

bool Interrupted();

}  // namespace examples
