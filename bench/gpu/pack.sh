#!/usr/bin/env bash
# pack.sh FOLDER: checks that the programs of a bundle need the C library and nothing else,
# notes which version, and makes FOLDER.tar.gz, at most 64 MiB.
set -eu
folder=$1
programs=$(find "$folder" -type f -perm -u+x ! -name '*.sh')
for p in $programs; do
	if more=$(ldd "$p" | grep -vE 'linux-vdso|ld-linux|libc\.so\.6'); then
		echo "$p needs more than the C library: $more" >&2
		exit 1
	fi
done
# shellcheck disable=SC2086 # words on purpose
version=$(objdump -T $programs | grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -n 1)
echo "the programs need glibc ${version#GLIBC_} or later" | tee "$folder/glibc.txt"
tar -C "$(dirname "$folder")" -czf "$folder.tar.gz" "$(basename "$folder")"
size=$(stat -c %s "$folder.tar.gz")
if [ "$size" -gt $((64 << 20)) ]; then
	echo "$folder.tar.gz has $size bytes, want at most 64 MiB" >&2
	exit 1
fi
echo "$folder.tar.gz: $((size >> 20)) MiB"
