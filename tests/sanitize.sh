#!/usr/bin/env bash
# Builds the native parts with sanitizers in a temporary copy and runs their tests there: AddressSanitizer and UBSan, or
# with --thread ThreadSanitizer, which watches tests/races.py.
#
#     tests/sanitize.sh [python] [pytest options]
#     tests/sanitize.sh --thread [python]
set -euo pipefail
cd "$(dirname "$0")/.."
watched=address,undefined
if [[ ${1:-} == --thread ]]; then
    watched=thread
    shift
fi
python=$(realpath --no-symlinks "${1:-.venv/bin/python}")
shift || true
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r w2vfast kernels eval benchmarks tests setup.py pyproject.toml "$copy"
for extra in README.md LICENSE MANIFEST.in; do [[ -e $extra ]] && cp "$extra" "$copy"; done
find "$copy" -name '*.so' -delete
cd "$copy"

# A wrapper puts -O1 after setup.py's -O3: with that, the sanitizers' checks take minutes to compile.
flags="-fsanitize=$watched -fno-sanitize-recover=all -fno-omit-frame-pointer -g1"
printf '#!/bin/sh\nexec g++ "$@" -O1 %s\n' "$flags" > compiler
chmod +x compiler
# Whether threads race does not depend on the instruction set: one build of the kernels is enough.
[[ $watched == thread ]] && sed -i '/^    "avx.*march=/d' setup.py
CC="$copy/compiler" CXX="$copy/compiler" LDFLAGS="$flags" "$python" setup.py -q build_ext --inplace

# Python itself is not instrumented: the runtimes come first, libstdc++ with them so that throwing is intercepted.
preload() {
    for library in "$@"; do printf '%s ' "$(realpath "$(g++ -print-file-name="$library")")"; done
}

if [[ $watched == thread ]]; then
    # Randomised addresses may fall where ThreadSanitizer keeps its own.
    for part in deterministic scanner default; do
        options="halt_on_error=1 report_bugs=1"
        [[ $part == default ]] && options+=" suppressions=$copy/tests/races.supp"
        echo "ThreadSanitizer: $part"
        LD_PRELOAD="$(preload libtsan.so libstdc++.so)" TSAN_OPTIONS="$options" OPENBLAS_NUM_THREADS=1 \
            PYTHONPATH="$copy" setarch "$(uname -m)" --addr-no-randomize "$python" -m tests.races "$part"
    done
    exit
fi
tests=()
for name in native bfloat16 batches scanner; do
    if [[ -e tests/test_$name.py ]]; then tests+=("tests/test_$name.py"); fi
done
compgen -G "kernels/native/_*.so" > /dev/null || { echo "nothing native was built" >&2; exit 1; }

# Leaks are Python's own, kept to its end.
LD_PRELOAD="$(preload libasan.so libubsan.so libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
    "$python" -m pytest -q -p no:cacheprovider "${tests[@]}" "$@"
