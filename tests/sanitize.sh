#!/usr/bin/env bash
# Builds the native parts with AddressSanitizer and UBSan in a temporary copy and runs their tests there.
#
#     tests/sanitize.sh [python] [pytest options]
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath --no-symlinks "${1:-.venv/bin/python}")
shift || true
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r w2vfast kernels eval benchmarks tests setup.py pyproject.toml "$copy"
for extra in README.md LICENSE MANIFEST.in; do [[ -e $extra ]] && cp "$extra" "$copy"; done
find "$copy" -name '*.so' -delete
cd "$copy"

# A wrapper puts -O1 after setup.py's -O3: with that, the sanitizers' checks take minutes to compile.
flags="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g1"
printf '#!/bin/sh\nexec g++ "$@" -O1 %s\n' "$flags" > compiler
chmod +x compiler
CC="$copy/compiler" CXX="$copy/compiler" LDFLAGS="$flags" "$python" setup.py -q build_ext --inplace
tests=()
for name in native scanner; do
    if compgen -G "*/_${name}*.so" > /dev/null && [[ -e tests/test_$name.py ]]; then tests+=("tests/test_$name.py"); fi
done
[[ ${#tests[@]} -gt 0 ]] || { echo "nothing native was built" >&2; exit 1; }

# Python itself is not instrumented: the runtimes come first, libstdc++ with them so that throwing is intercepted.
# Leaks are Python's own, kept to its end.
preload=""
for library in libasan.so libubsan.so libstdc++.so; do preload+="$(realpath "$(g++ -print-file-name=$library)") "; done
LD_PRELOAD="$preload" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
    "$python" -m pytest -q -p no:cacheprovider "${tests[@]}" "$@"
