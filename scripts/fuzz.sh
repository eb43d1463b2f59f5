#!/bin/sh
# Runs every fuzz target for FUZZTIME (30s), one after the other. What is found stays in testdata/fuzz.
set -u
time=${FUZZTIME:-30s}
failed=
for package in $(go list ./...); do
	dir=$(go list -f '{{.Dir}}' "$package")
	for target in $(grep -ho '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | cut -c6-); do
		echo "fuzz: $package $target $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" || failed="$failed $package:$target"
	done
done
[ -z "$failed" ] || { echo "fuzz: failed:$failed"; exit 1; }
