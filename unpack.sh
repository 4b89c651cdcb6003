#!/bin/sh
# Unpacks a Debian package into a folder: its programs can be run, and no service is started, as installing it would.
set -e
package=$1 folder=$2
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
cd "$download"
apt-get download -qq "$package" >/dev/null 2>&1 || { [ "$(id -u)" = 0 ] && apt-get update -qq && apt-get download -qq "$package" >/dev/null; }
cd "$OLDPWD"
dpkg -x "$download/$package"_*.deb "$folder"
