#!/bin/sh
echo "ready as $(id -un)"
