#pragma once

namespace examples {

// From now on the first Ctrl-C (or SIGTERM) only makes Interrupted() true; the second ends the
// program at once.
void CatchInterrupts();

bool Interrupted();

// What a program that was interrupted returns: as a shell reports Ctrl-C.
inline constexpr int kInterruptedExit = 130;

}  // namespace examples
