package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"

	"github.com/llmqat/llmqat/serve"
)

// readKeys returns the keys of --api-keys and --api-key, nil where neither is set.
func readKeys(f *flags) (*serve.Keys, error) {
	var one, file *serve.Keys
	var err error
	if f.APIKey != "" {
		if one, err = serve.ReadKeys(strings.NewReader(f.APIKey)); err != nil || one.Len() != 1 {
			return nil, errors.New("--api-key: want one key, as KEY or NAME:KEY, of printable ASCII")
		}
	}
	if f.APIKeys != "" {
		if file, err = readKeyFile(f.APIKeys); err != nil {
			return nil, fmt.Errorf("--api-keys: %w", err)
		}
	}
	return file.Join(one), nil
}

func readKeyFile(path string) (*serve.Keys, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if info, err := r.Stat(); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		slog.Warn("others may read the API keys: chmod 600 the file", "file", path, "mode", info.Mode().Perm().String())
	}
	keys, err := serve.ReadKeys(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// warnIfPublic tells who opens a server to a network without a key.
func warnIfPublic(addr net.Addr, keys *serve.Keys) {
	if tcp, ok := addr.(*net.TCPAddr); ok && keys.Len() == 0 && !tcp.IP.IsLoopback() {
		slog.Warn("everybody who can reach this address may use the model: set --api-keys, or listen on 127.0.0.1", "addr", addr.String())
	}
}
