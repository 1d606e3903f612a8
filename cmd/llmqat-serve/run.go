package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/llmqat/llmqat/serve"
)

// run serves until a signal arrives and the requests under way have ended, or until the model turns out not to
// load. The listener opens first, so that /health can tell that the model is loading.
func run(f *flags, signals <-chan os.Signal) error {
	start := time.Now()
	keys, err := readKeys(f)
	if err != nil {
		return err
	}
	secure, err := newTLS(f)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", f.Addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: choose another by --addr; port 0 takes a free one", err)
	} else if err != nil {
		return err
	}
	server := serve.New(serve.Options{
		ReadTimeout: f.ReadTimeout, IdleTimeout: f.IdleTimeout, WriteTimeout: f.WriteTimeout,
		PingInterval: f.PingInterval, MaxBody: int(f.MaxBody), MaxConns: f.MaxConns,
		Version: version, Keys: keys, PublicMetrics: f.MetricsPublic, TLS: secure, CORSOrigins: f.CORSOrigin,
	})
	defer reloading(f, server)()
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	scheme := "http"
	if secure != nil {
		scheme = "https"
	}
	slog.Info("listening", "url", scheme+"://"+ln.Addr().String())
	warnIfPublic(ln.Addr(), keys)

	type result struct {
		model *loaded
		err   error
	}
	loading := make(chan result, 1)
	go func() {
		m, err := load(f)
		loading <- result{m, err}
	}()
	var m *loaded
	select {
	case r := <-loading:
		if m = r.model; r.err != nil {
			_ = drain(server, 0)
			return r.err
		}
	case err := <-served:
		return err
	case sig := <-signals:
		slog.Info("stopped while loading", "signal", sig)
		_ = drain(server, 0) // there are no requests to wait for
		return nil
	}
	defer m.close()
	server.SetModel(m.model)
	slog.Info("ready", "model", m.model.Name, "after", time.Since(start).Round(time.Millisecond))

	select {
	case err := <-served:
		return fmt.Errorf("listener: %w", err)
	case sig := <-signals:
		slog.Info("draining; a second signal exits at once", "signal", sig, "delay", f.DrainDelay, "timeout", f.DrainTimeout)
	}
	server.Unready()
	go func() {
		sig := <-signals
		slog.Warn("exit at once", "signal", sig)
		os.Exit(1)
	}()
	time.Sleep(f.DrainDelay)
	if err := drain(server, f.DrainTimeout); err != nil {
		return fmt.Errorf("requests were cancelled after %v: %w", f.DrainTimeout, err)
	}
	slog.Info("drained")
	return nil
}

func drain(server *serve.Server, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return server.Shutdown(ctx)
}
