#!/usr/bin/env bash
# split_debuginfo.sh PROGRAM…: moves what a debugger needs out of each program, into PROGRAM.debug beside it.
#
# Names of functions stay, so that a panic's backtrace can be read; a program finds its lines again if the file is put
# beside it. What was split already stays as it is.
set -euo pipefail

for program in "$@"; do
  sections=$(readelf --sections --wide "$program")
  [[ $sections == *" .debug_line "* ]] || continue
  objcopy --only-keep-debug --compress-debug-sections "$program" "$program.debug"
  objcopy --strip-debug --remove-section=.gnu_debuglink "$program"
  (cd "$(dirname "$program")" && objcopy --add-gnu-debuglink="$(basename "$program").debug" "$(basename "$program")")
done
