package serve

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/valyala/fasthttp"
)

// stream writes a generation as server-sent events. fasthttp calls WriteTo on the connection's goroutine after
// the handler has returned; every Write to it is one HTTP chunk, sent at once.
type stream struct {
	*generation

	w   io.Writer
	n   int64
	buf []byte
}

var (
	errStreamOnly = errors.New("serve: a stream is read by WriteTo")
	errPanicked   = errors.New("serve: panic in a stream")
)

// Read is what makes a stream an io.Reader for fasthttp, which does not call it.
func (st *stream) Read([]byte) (int, error) { return 0, errStreamOnly }

// SupportsBodyWriteTo tells fasthttp to call WriteTo.
func (st *stream) SupportsBodyWriteTo() bool { return true }

// Close ends the generation; fasthttp calls it in any case.
func (st *stream) Close() error {
	defer func() {
		if p := recover(); p != nil {
			st.call.panicked(p)
		}
		st.call.answered(fasthttp.StatusOK)
	}()
	if st.open > 0 {
		st.cancel(errLeft) // unless there is a cause already, a write failed
	}
	st.end()
	return nil
}

// WriteTo sends the whole answer. An error makes fasthttp close the connection without the last chunk, so
// that no client takes what it has for all of it.
func (st *stream) WriteTo(w io.Writer) (n int64, err error) {
	st.w = w
	defer func() {
		if p := recover(); p != nil {
			st.call.panicked(p)
			st.call.ended = internalError().name()
			st.cancel(errPanicked)
			err = errors.Join(errPanicked, st.send(errorBody{internalError()}))
		}
		n = st.n
	}()
	return 0, st.run()
}

func (st *stream) run() error {
	for _, one := range st.choices {
		if first := st.request.api.first; first != nil {
			if err := st.sendChoice(first(one)); err != nil {
				return err
			}
		}
		if err := st.sendPiece(one, one.begin()); err != nil {
			return err
		}
	}
	ping := time.NewTimer(st.server.options.PingInterval)
	defer ping.Stop()
	for st.open > 0 {
		ping.Reset(st.server.options.PingInterval)
		var err error
		select {
		case e := <-st.events:
			err = st.take(e)
		case <-ping.C:
			err = st.write(": ping\n\n")
		case <-st.ctx.Done():
			err = st.fail(context.Cause(st.ctx))
		}
		if err != nil {
			return err
		}
	}
	if st.request.includeUsage {
		last := st.head(st.request.api.chunk)
		last.Usage = st.usage()
		if err := st.send(last); err != nil {
			return err
		}
	}
	return st.write("data: [DONE]\n\n")
}

func (st *stream) take(e choiceEvent) error {
	p, err := st.apply(e)
	if err != nil {
		return st.fail(err)
	}
	return st.sendPiece(e.choice, p)
}

// fail tells the client, if it is still there, why the stream ends early.
func (st *stream) fail(err error) error {
	e := st.explain(err)
	st.call.ended = e.name()
	st.cancel(e)
	return errors.Join(e, st.send(errorBody{e}))
}

func (st *stream) sendPiece(one *choice, p piece) error {
	if p.empty() {
		return nil
	}
	for _, c := range st.request.api.parts(one, p) {
		if err := st.sendChoice(c); err != nil {
			return err
		}
	}
	return nil
}

// sendChoice sends a chunk of one choice.
func (st *stream) sendChoice(c any) error {
	chunk := st.head(st.request.api.chunk)
	chunk.Choices = []any{c}
	if st.request.includeUsage {
		chunk.Usage = (*usageJSON)(nil)
	}
	return st.send(chunk)
}

// send writes v as one event.
func (st *stream) send(v any) error {
	st.buf = appendJSON(append(st.buf[:0], "data: "...), v)
	return st.write(string(append(st.buf, '\n')))
}

func (st *stream) write(s string) error {
	n, err := io.WriteString(st.w, s)
	st.n += int64(n)
	return err
}
