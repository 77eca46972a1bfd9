#!/usr/bin/env bash
# split_debuginfo.sh PROGRAM…: moves the debug information of each program into PROGRAM.debug beside it.
#
# Function names stay, so that a backtrace is readable; line numbers are found if the file is beside the program. Programs
# that are split already do not change.
set -euo pipefail

for program in "$@"; do
  sections=$(readelf --sections --wide "$program")
  [[ $sections == *" .debug_line "* ]] || continue
  objcopy --only-keep-debug --compress-debug-sections "$program" "$program.debug"
  objcopy --strip-debug --remove-section=.gnu_debuglink "$program"
  (cd "$(dirname "$program")" && objcopy --add-gnu-debuglink="$(basename "$program").debug" "$(basename "$program")")
done
