package serve

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/serve/chat"
)

// Generator makes tokens; *engine.Engine is one.
type Generator interface {
	// Generate answers a request with events on a channel that never blocks the sender, ends with one Done
	// event and is closed. Cancelling ctx ends it early.
	Generate(ctx context.Context, r engine.Request) (<-chan engine.Event, error)
	// Info says what makes them, Stats what it did and does.
	Info() engine.Info
	Stats() engine.Stats
	// Err is why every request will fail from now on, nil while there is no reason.
	Err() error
}

// Model is what a Server serves.
type Model struct {
	Name       string // its id in the API
	Tokenizer  *tokenizer.Tokenizer
	Generator  Generator
	Chat       *chat.Template // nil: conversations are refused
	MaxContext int            // tokens of prompt and answer together
	Created    time.Time      // of the model file
	Card       *Card          // nil: none

	pieceBytes int     // the longest text of one token
	turnEnds   []int32 // what ends an answer by Chat
}

// Options of a Server; a zero value means the default in brackets.
type Options struct {
	ReadTimeout  time.Duration // for a whole request to arrive [30 s]
	IdleTimeout  time.Duration // between requests on a connection [2 min]
	WriteTimeout time.Duration // for a client to take 64 KiB, or one token of a stream [30 s]
	PingInterval time.Duration // between SSE comments while a stream is silent [15 s]
	MaxBody      int           // bytes of a request's body [4 MiB]
	MaxConns     int           // open connections [4096]
	Log          *slog.Logger  // [slog.Default]
	Version      string        // of the program, for /metrics

	Keys          *Keys // wanted for all but probes and the page [none are wanted]
	PublicMetrics bool  // GET /metrics needs no key

	TLS         *tls.Config // for HTTPS [plain HTTP]
	CORSOrigins []string    // pages of these may use the server, as CheckOrigin takes them [its own page]
}

const (
	headerLimit = 16 << 10 // bytes of a request's line and headers

	// idleWorker is how long a goroutine of fasthttp's pool outlives its connection.
	idleWorker = time.Second

	// drainSilent is what a connection gets to begin its first request once a drain has begun.
	drainSilent = 500 * time.Millisecond

	// drainLast is what cancelled requests get to end once a drain ran out of time.
	drainLast = 2 * time.Second
)

// Server answers HTTP. It may listen before its model is loaded: until SetModel, everything that needs one is 503.
type Server struct {
	options  Options
	http     *fasthttp.Server
	model    atomic.Pointer[Model]
	draining atomic.Bool
	leaving  leaveWatcher
	silent   silent
	counters counters
	pace     pace
	keys     atomic.Pointer[Keys]

	ctx    context.Context // parent of every request's
	cancel context.CancelFunc
}

// New returns a server without a model.
func New(o Options) *Server {
	setDefault(&o.ReadTimeout, 30*time.Second)
	setDefault(&o.IdleTimeout, 2*time.Minute)
	setDefault(&o.WriteTimeout, 30*time.Second)
	setDefault(&o.PingInterval, 15*time.Second)
	setDefault(&o.MaxBody, 4<<20)
	setDefault(&o.MaxConns, 4096)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Server{options: o, counters: newCounters()}
	s.SetKeys(o.Keys)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.http = &fasthttp.Server{
		Handler:               s.handle,
		ErrorHandler:          s.handleParseError,
		HeaderReceived:        s.bodyLimit,
		Name:                  "llmqat",
		Logger:                httpLog{o.Log},
		SecureErrorLogMessage: true,
		Concurrency:           o.MaxConns + refusing + 1, // the listener keeps to fewer
		ReadBufferSize:        headerLimit,
		MaxRequestBodySize:    o.MaxBody,
		ReadTimeout:           o.ReadTimeout,
		IdleTimeout:           o.IdleTimeout,
		WriteTimeout:          0, // would cut long streams: conn sets a deadline for every write
		MaxIdleWorkerDuration: idleWorker,
		CloseOnShutdown:       true,

		NoDefaultContentType:         true,
		DisablePreParseMultipartForm: true,
	}
	return s
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// SetModel starts answering with m.
func (s *Server) SetModel(m Model) {
	m.pieceBytes = 1
	for id := range m.Tokenizer.VocabSize() {
		m.pieceBytes = max(m.pieceBytes, len(m.Tokenizer.Piece(int32(id))))
	}
	m.turnEnds = turnEnds(&m)
	s.model.Store(&m)
}

// Serve answers connections of ln until Shutdown, which makes it return nil, and closes ln.
func (s *Server) Serve(ln net.Listener) error {
	l := newListener(ln, s.options.WriteTimeout, s.options.MaxConns, s.options.Log)
	l.silent = &s.silent
	defer l.Close()
	if s.options.TLS != nil {
		return s.http.Serve(secureListener{l, s.options.TLS})
	}
	return s.http.Serve(l)
}

// Unready makes GET /ready say that the server is shutting down, while it still takes requests: who balances load
// looks from time to time only.
func (s *Server) Unready() { s.draining.Store(true) }

// Shutdown stops listening, waits for the requests under way and returns nil when they have ended. When ctx is
// done first it cancels them, and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Unready()
	defer s.cancel()
	defer time.AfterFunc(drainSilent, s.silent.end).Stop()
	err := s.http.ShutdownWithContext(ctx)
	if err == nil || ctx.Err() == nil {
		return err
	}
	s.cancel()
	// fasthttp takes one off for the listener's Accept, which has returned: none open is -1.
	for end := time.Now().Add(drainLast); s.http.GetOpenConnectionsCount() >= 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	return ctx.Err()
}

// httpLog takes fasthttp's complaints about connections, none of which is the server's fault.
type httpLog struct{ log *slog.Logger }

func (l httpLog) Printf(format string, args ...any) {
	for i, a := range args {
		if err, ok := a.(error); ok {
			args[i] = withoutQuotes(err)
		}
	}
	l.log.Debug("http", "message", fmt.Sprintf(format, args...))
}
