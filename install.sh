#!/bin/sh
# Installs Debian packages, as root or by sudo; without either it says what to type.
set -e
if [ "$(id -u)" = 0 ]; then as=""; elif command -v sudo >/dev/null; then as="sudo"; else
  echo "Inkling needs the package $*. Install it with: apt-get install $*" >&2; exit 1
fi
echo "Installing $* from the system's packages"
$as apt-get update -qq
DEBIAN_FRONTEND=noninteractive $as apt-get install -y -qq --no-install-recommends "$@" >/dev/null
