# SPDX-FileCopyrightText: 2026 libmirror contributors
# SPDX-License-Identifier: MIT
#
# TAP for tests written in sh: `. "$top_srcdir/t/lib/tap.sh"`, then ok, skip, skip_all, and done_testing last. It also
# makes a scratch directory, $scratch, which goes away with the test. A test reads $top_srcdir, $top_builddir, $CC,
# $CXX and so on, which make check exports; when it is run by hand the defaults below serve.

top_srcdir=${top_srcdir:-$(dirname "$0")/../..}
top_builddir=${top_builddir:-.}
CC=${CC:-cc}
NM=${NM:-nm}
READELF=${READELF:-readelf}

tap_run=0
tap_failed=0
scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT

# ok STATUS DESCRIPTION: a test line; STATUS 0 passes.
ok() {
	tap_run=$((tap_run + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tap_run - $2"
	else
		tap_failed=$((tap_failed + 1))
		echo "not ok $tap_run - $2"
	fi
}

# passes DESCRIPTION COMMAND...: tests that the command succeeds; its output is shown when it does not.
passes() {
	description=$1
	shift
	"$@" >"$scratch/tap.out" 2>&1
	status=$?
	[ $status -eq 0 ] || sed 's/^/#   /' "$scratch/tap.out"
	ok $status "$description"
}

# fails DESCRIPTION COMMAND...: tests that the command fails, which is how a check is shown able to.
fails() {
	description=$1
	shift
	if "$@" >"$scratch/tap.out" 2>&1; then
		ok 1 "$description"
	else
		ok 0 "$description"
	fi
}

skip() {
	tap_run=$((tap_run + 1))
	echo "ok $tap_run # SKIP $1"
}

skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}

done_testing() {
	echo "1..$tap_run"
	[ $tap_failed -eq 0 ]
	exit
}
