package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/llmqat/llmqat/serve"
)

// reloading reads the file of keys again on every SIGHUP, until it is stopped. Files that are no good change
// nothing.
func reloading(f *flags, server *serve.Server) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			reload(f, server)
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
	}
}

func reload(f *flags, server *serve.Server) {
	keys, err := readKeys(f)
	if err != nil {
		slog.Error("the API keys stay as they were", "err", err)
		return
	}
	server.SetKeys(keys)
	slog.Info("reloaded", "keys", keys.Len())
}
