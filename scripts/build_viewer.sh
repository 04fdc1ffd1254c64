#!/usr/bin/env bash
# Rebuild the page of `lyra view` from viewer/src into src/lyra/viewer/assets; needs Node.js 20 or newer.
# The tools are those of viewer/package-lock.json; the page itself contains no package, only our own source.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../viewer"
npm ci --ignore-scripts --no-audit --no-fund
npm run check
npm run build
