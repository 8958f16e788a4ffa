#!/bin/sh
# Runs and never listens.
echo "busy with something else"
exec sleep 1000
