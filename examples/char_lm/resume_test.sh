#!/usr/bin/env bash
# Interrupts a run as Ctrl-C does, resumes it, and demands the curve of a run that was never stopped,
# digit for digit. Usage: resume_test.sh CHAR_LM DIRECTORY [options of the runs]
set -euo pipefail

char_lm=$1
directory=$2
shift 2
rm -rf "$directory"
mkdir -p "$directory"
common=(--block 3 --sample-length 5 --time-limit 1000)
run() { # run OUTPUT [options]
  local output=$directory/$1
  shift
  "$char_lm" "${common[@]}" --output "$output" "$@"
}
# Loss of both models at each update; the seconds, which follow, differ from run to run.
losses() { cut -d, -f1-3 "$directory/$1/loss.csv"; }

# Long enough never to end by itself; the interrupt comes once the first checkpoint is there.
"$char_lm" "${common[@]}" --output "$directory/stopped" "$@" --updates 100000000 \
  --checkpoint-every 20 &
process=$!
for ((i = 0; i < 600; ++i)); do
  [[ -e $directory/stopped/checkpoint.pt ]] && break
  kill -0 "$process" || break
  sleep 0.1
done
kill -INT "$process"
code=0
wait "$process" || code=$?
[[ $code -eq 130 ]] || { echo "expected exit code 130 after the interrupt, got $code"; exit 1; }
[[ ! -e $directory/stopped/checkpoint.pt.tmp ]] || { echo "a temporary file was left"; exit 1; }
done_updates=$(($(wc -l < "$directory/stopped/loss.csv") - 1))
echo "interrupted after $done_updates updates"

updates=$((done_updates + 31))
run stopped "$@" --resume --updates "$updates"
run straight "$@" --updates "$updates"
diff <(losses stopped) <(losses straight)
[[ $(losses straight | wc -l) -eq $((updates + 1)) ]]

# What determines the curve cannot be changed on the way.
if run stopped "$@" --resume --seed 2 2> "$directory/error"; then
  echo "--resume with another seed was accepted"
  exit 1
fi
grep -q -- "--seed is 2 here and 1 there" "$directory/error"
echo "the resumed run and the straight one agree in all $updates updates"
