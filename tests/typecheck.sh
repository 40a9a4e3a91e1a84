#!/usr/bin/env bash
# Type-checks the package as it is imported: kernels/ and eval/ linked into w2vfast/ under one build folder.
set -euo pipefail
cd "$(dirname "$0")/.."
mypy=$(realpath --no-symlinks "${1:-mypy}")
rm -rf build/typecheck
mkdir -p build/typecheck/w2vfast
for entry in w2vfast/*.py w2vfast/py.typed w2vfast/codecs w2vfast/formats w2vfast/predictions; do ln -s "$PWD/$entry" build/typecheck/w2vfast/; done
ln -s "$PWD/kernels" build/typecheck/w2vfast/kernels
ln -s "$PWD/eval" build/typecheck/w2vfast/eval
cd build/typecheck
"$mypy" --config-file ../../pyproject.toml -p w2vfast
