#!/bin/sh
# Says why and dies.
echo "first word"
echo "cannot find the thing that it needs" >&2
exit 7
