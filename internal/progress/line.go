package progress

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// Line returns a callback that tells how far something has come on w: on a terminal in
// one line that is drawn anew, anywhere else in a line of its own, one each time that
// every has passed. end leaves the terminal's line empty. Only one goroutine may call them.
func Line(w io.Writer, every time.Duration) (tell func(text string), end func()) {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		const anew = "\r\x1b[K" // to the line's begin; erase what is behind
		return func(text string) { fmt.Fprint(w, anew+text) }, func() { fmt.Fprint(w, anew) }
	}
	last := time.Now()
	return func(text string) {
		if now := time.Now(); now.Sub(last) >= every {
			last = now
			fmt.Fprintln(w, text)
		}
	}, func() {}
}
