package cuda

import (
	"errors"
	"slices"
)

// work is a sequence of launches, with the words that their parameters are.
type work struct {
	launches []launch
	params   []uint64
}

func (w *work) clear() { w.launches, w.params = w.launches[:0], w.params[:0] }

func (w *work) equal(v *work) bool {
	return slices.Equal(w.launches, v.launches) && slices.Equal(w.params, v.params)
}

const (
	// graphLen launches or more are worth a graph.
	graphLen = 16
	// queueLen bounds what waits for a flush: several steps of the largest models.
	queueLen = 4096
)

// replay submits work. Decoding repeats the step before for as long as no sequence
// needs a new page: positions and slots are in the GPU's memory. So work that comes
// twice becomes a CUDA graph, whose kernels follow each other faster.
type replay struct {
	last  work // what was submitted before
	graph graph
	holds work // what graph runs
}

func (r *replay) submit(driver driver, w *work) error {
	if len(w.launches) < graphLen {
		return driver.Launch(w.launches, w.params)
	}
	if r.graph != 0 && w.equal(&r.holds) {
		return driver.LaunchGraph(r.graph)
	}
	if !w.equal(&r.last) {
		r.last, *w = *w, r.last
		return driver.Launch(r.last.launches, r.last.params)
	}
	err := r.capture(driver, w)
	if err == nil {
		err = driver.LaunchGraph(r.graph)
	}
	if errors.Is(err, errNoMemory) { // a graph is only faster
		r.holds.clear()
		return driver.Launch(r.last.launches, r.last.params)
	}
	return err
}

// capture makes w the graph.
func (r *replay) capture(driver driver, w *work) error {
	if r.graph != 0 {
		ok, err := driver.Update(r.graph, w.launches, w.params)
		if err != nil {
			return err
		}
		if !ok {
			err := driver.FreeGraph(r.graph)
			if r.graph = 0; err != nil {
				return err
			}
		}
	}
	if r.graph == 0 {
		var err error
		if r.graph, err = driver.Capture(w.launches, w.params); err != nil {
			return err
		}
	}
	r.holds, *w = *w, r.holds
	return nil
}
