#!/usr/bin/env bash
# Two servers of the demo model behind nginx and HAProxy, as configured here: requests of one prefix reach one
# replica, those of many and those of none reach both, and one that drains is passed over.
#   deploy/gateway/test.sh bin/llmqat-serve
set -u
serve=$1
cd "$(dirname "$0")/../.." || exit
work=$(mktemp -d)
trap 'kill "${pids[@]}" 2>/dev/null; kill -KILL "${drains:-}" 2>/dev/null; wait; rm -rf "$work"' EXIT
pids=()
fail() {
	echo "$*" >&2
	cat "$work"/*.log >&2
	exit 1
}
TMPDIR=$work "$serve" --addr 127.0.0.1:18601 2>"$work/18601.log" &
pids+=($!)
TMPDIR=$work "$serve" --addr 127.0.0.1:18602 --drain-delay 10m 2>"$work/18602.log" &
drains=$!
nginx -p "$work" -c "$PWD/deploy/gateway/nginx.conf" 2>"$work/nginx.log" &
pids+=($!)
haproxy -f deploy/gateway/haproxy.cfg >"$work/haproxy.log" 2>&1 &
pids+=($!)
for url in 127.0.0.1:18601/ready 127.0.0.1:18602/ready 127.0.0.1:18600/ready 127.0.0.1:18610/ready; do
	for _ in $(seq 200); do
		curl -fs "$url" >/dev/null && continue 2
		sleep 0.1
	done
	fail "no answer from $url"
done
sleep 2 # HAProxy has seen both

# replica GATEWAY [PREFIX] prints which replica answers a completion.
replica() {
	curl -fs -o /dev/null -D - "127.0.0.1:$1/v1/completions" ${2:+-H "X-Llmqat-Prefix: $2"} -d '{"prompt":"Once","max_tokens":1}' |
		tr -d '\r' | sed -n 's/^x-llmqat-replica: //Ip'
}
different() { sort | uniq | wc -l; }
for gateway in 18600 18610; do
	for prefix in chat-1 chat-2 chat-3; do
		n=$(for _ in 1 2 3 4 5; do replica $gateway $prefix; done | different)
		[ "$n" = 1 ] || fail "port $gateway: $prefix reached $n replicas, want 1"
	done
	n=$(for i in $(seq 20); do replica $gateway "chat-$i"; done | different)
	[ "$n" = 2 ] || fail "port $gateway: 20 prefixes reached $n replicas, want 2"
	n=$(for _ in $(seq 20); do replica $gateway; done | different)
	[ "$n" = 2 ] || fail "port $gateway: 20 requests without a prefix reached $n replicas, want 2"
	# A prefix of the client's, and a stream, pass as they are.
	curl -fsN -D - "127.0.0.1:$gateway/v1/completions" -H 'X-Llmqat-Prefix: chat-1' -d '{"prompt":"Once","max_tokens":2,"stream":true}' >"$work/stream"
	if ! grep -qi '^x-llmqat-prefix: chat-1' "$work/stream" || ! grep -q '^data: \[DONE\]' "$work/stream"; then
		fail "port $gateway: the stream: $(<"$work/stream")"
	fi
done
kill -TERM "$drains" # it still answers for 10 minutes, and says that it is not ready
for _ in $(seq 100); do
	n=$(for i in $(seq 20); do replica 18610 "chat-$i"; done | different)
	[ "$n" = 1 ] && break
	sleep 0.1
done
[ "$n" = 1 ] || fail "HAProxy sends requests to a replica that drains"
kill -TERM "$drains" # at once
wait "$drains"
n=$(for i in $(seq 20); do replica 18600 "chat-$i"; done | wc -l)
[ "$n" = 20 ] || fail "nginx lost $((20 - n)) of 20 requests when a replica was gone"
echo "one prefix, one replica"
