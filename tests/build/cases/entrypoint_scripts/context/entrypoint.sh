#!/bin/sh
set -eu
echo "entry $*"
helper
